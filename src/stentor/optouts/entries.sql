-- Single entries of a list, and what is taken off one.

-- name: store_of
-- A list and the runs that hold by now, whether it is enabled or not. As in asking.sql, a run expires by its youngest entry, and
-- whether anything was taken off is asked in the order of the key.
SELECT l.generation,
    (SELECT x.digest FROM optout_removed x WHERE x.list_id = l.id AND x.brand_id = l.brand_id
     ORDER BY x.digest LIMIT 1) IS NOT NULL,
    r.ids, r.generations
FROM optout_list l
CROSS JOIN LATERAL optout_runs_held(l.id, l.brand_id, :now - make_interval(days => l.expiry_days)) r
WHERE l.id = :list_id AND l.brand_id = :brand_id

-- name: hold_list
-- That its files change only before or after.
SELECT state FROM optout_list WHERE id = :list_id AND brand_id = :brand_id FOR KEY SHARE

-- name: own_list
SELECT state FROM optout_list WHERE id = :list_id AND brand_id = :brand_id FOR UPDATE

-- name: insert_recents
-- In digest order, so that two transactions with entries in common never wait for each other crosswise. The first one stays, but
-- for `outweigh`.
INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at, source, address, hash, campaign, affiliate,
    sub_affiliate, ip)
SELECT l.id, e.digest, l.brand_id, e.channel, :cause, :now, :source, e.address, e.hash, :campaign, :affiliate,
    :sub_affiliate, :ip
FROM unnest(:digests::bytea[], :channels::smallint[], :addresses::text[], :hashes::bytea[])
    AS e (digest, channel, address, hash)
CROSS JOIN optout_list l
WHERE l.id = :list_id AND l.brand_id = :brand_id
ORDER BY e.digest
ON CONFLICT (list_id, digest) DO NOTHING

-- name: outweigh
-- Entries take the places of those whose cause says less; what these were is kept. In digest order, as above.
WITH outweighed AS (
    SELECT r.list_id, r.digest, r.brand_id, r.channel, r.cause, r.at, r.source
    FROM optout_recent r
    WHERE r.list_id = :list_id AND r.brand_id = :brand_id AND r.digest = ANY(:digests::bytea[]) AND r.cause = ANY(:weaker::text[])
    ORDER BY r.digest
    FOR UPDATE
), kept AS (
    INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at, reason, actor)
    SELECT o.list_id, o.digest, o.brand_id, o.channel, o.cause, o.at, o.source, :now, 'said again', '' FROM outweighed o
)
UPDATE optout_recent r
SET channel = e.channel, cause = e.cause, at = :now, source = e.source, address = coalesce(e.address, r.address),
    hash = coalesce(e.hash, r.hash), campaign = e.campaign, affiliate = e.affiliate, sub_affiliate = e.sub_affiliate, ip = e.ip
FROM outweighed o
JOIN unnest(
        :digests::bytea[], :channels::smallint[], :causes::text[], :sources::text[], :addresses::text[], :hashes::bytea[],
        :campaigns::text[], :affiliates::text[], :sub_affiliates::text[], :ips::text[]
    ) AS e (digest, channel, cause, source, address, hash, campaign, affiliate, sub_affiliate, ip) ON e.digest = o.digest
WHERE r.list_id = o.list_id AND r.brand_id = :brand_id AND r.digest = o.digest

-- name: end_recents
-- Said again on a list whose entries lapse: it holds from now on, and what was before is kept as it was.
WITH ended AS (
    DELETE FROM optout_recent r
    USING (
        SELECT digest
        FROM optout_recent
        WHERE list_id = :list_id AND brand_id = :brand_id AND digest = ANY(:digests::bytea[])
        ORDER BY digest
        FOR UPDATE
    ) e
    WHERE r.list_id = :list_id AND r.brand_id = :brand_id AND r.digest = e.digest
    RETURNING r.list_id, r.digest, r.brand_id, r.channel, r.cause, r.at, r.source
)
INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at, reason, actor)
SELECT e.list_id, e.digest, e.brand_id, e.channel, e.cause, e.at, e.source,
    least(:now, e.at + make_interval(days => :expiry_days::integer)), 'said again', ''
FROM ended e

-- name: lock_recents
SELECT digest, cause
FROM optout_recent
WHERE list_id = :list_id AND brand_id = :brand_id AND digest = ANY(:digests::bytea[])
ORDER BY digest
FOR UPDATE

-- name: lift_recents
WITH lifted AS (
    DELETE FROM optout_recent
    WHERE list_id = :list_id AND brand_id = :brand_id AND digest = ANY(:digests::bytea[])
    RETURNING list_id, digest, brand_id, channel, cause, at, source
)
INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at, reason, actor)
SELECT l.list_id, l.digest, l.brand_id, l.channel, l.cause, l.at, l.source, :now, :reason, :actor FROM lifted l

-- name: next_generation
WITH list AS (
    UPDATE optout_list SET generation = generation + 1 WHERE id = :list_id AND brand_id = :brand_id
    RETURNING id, brand_id, generation
)
INSERT INTO optout_generation (list_id, generation, brand_id, at, what)
SELECT id, generation, :brand_id::uuid, :now, :what FROM list
RETURNING generation

-- name: remove_from_runs
INSERT INTO optout_removed (list_id, digest, brand_id, generation, at)
SELECT l.id, e.digest, l.brand_id, :generation, :now
FROM unnest(:digests::bytea[]) AS e (digest)
CROSS JOIN optout_list l
WHERE l.id = :list_id AND l.brand_id = :brand_id
ORDER BY e.digest
ON CONFLICT (list_id, digest) DO UPDATE SET generation = excluded.generation, at = excluded.at

-- name: note_removals
-- What a run held came with its file, and is known to have been there since.
INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at, reason, actor)
SELECT l.id, e.digest, l.brand_id, e.channel, 'import',
    coalesce(
        (SELECT g.at FROM optout_generation g WHERE g.list_id = l.id AND g.brand_id = l.brand_id AND g.generation = e.generation),
        :now
    ),
    '', :now, :reason, :actor
FROM unnest(:digests::bytea[], :channels::smallint[], :generations::bigint[]) AS e (digest, channel, generation)
CROSS JOIN optout_list l
WHERE l.id = :list_id AND l.brand_id = :brand_id

-- name: page_of_recents
-- In the order of the key, which costs nothing; what is looked for is found by reading on.
SELECT r.list_id, r.digest, r.channel, r.address, r.hash, r.cause, r.at, r.source, r.campaign, r.affiliate, r.sub_affiliate,
    r.ip, r.at + make_interval(days => l.expiry_days) AS expires_at
FROM optout_recent r
JOIN optout_list l ON l.id = r.list_id AND l.brand_id = r.brand_id
WHERE l.id = :list_id AND l.brand_id = :brand_id AND (:after::bytea IS NULL OR r.digest > :after::bytea)
    AND (l.expiry_days IS NULL OR r.at > :now - make_interval(days => l.expiry_days))
    AND (:prefix::text IS NULL OR starts_with(r.address, :prefix::text))
    AND (:cause::text IS NULL OR r.cause = :cause::text)
ORDER BY r.digest
LIMIT :limit

-- name: recents_of
-- A list that is read by a grant is another brand's: the brand is that of the list.
SELECT r.list_id, r.digest, r.channel, r.address, r.hash, r.cause, r.at, r.source, r.campaign, r.affiliate, r.sub_affiliate,
    r.ip, r.at + make_interval(days => l.expiry_days) AS expires_at
FROM unnest(:list_ids::uuid[], :brand_ids::uuid[]) AS s (list_id, brand_id)
JOIN optout_list l ON l.id = s.list_id AND l.brand_id = s.brand_id
JOIN optout_recent r ON r.list_id = s.list_id AND r.brand_id = s.brand_id AND r.digest = ANY(:digests::bytea[])
WHERE l.expiry_days IS NULL OR r.at > :now - make_interval(days => l.expiry_days)

-- name: past_of
-- All that single entries of these digests were, oldest first, those that are still there included.
SELECT e.digest, e.cause, e.at, e.source, e.lifted_at, e.reason, e.actor
FROM (
    SELECT r.digest, r.cause, r.at, r.source, NULL::timestamptz AS lifted_at, '' AS reason, '' AS actor
    FROM optout_recent r
    WHERE r.list_id = :list_id AND r.brand_id = :brand_id AND r.digest = ANY(:digests::bytea[])
    UNION ALL
    SELECT l.digest, l.cause, l.at, l.source, l.lifted_at, l.reason, l.actor
    FROM optout_lifted l
    WHERE l.list_id = :list_id AND l.brand_id = :brand_id AND l.digest = ANY(:digests::bytea[])
) e
ORDER BY e.at, e.lifted_at
LIMIT :limit

-- name: blank_recents
-- The digest stays, and with it the opt-out; of a longer hash the whole of it, so that exports have it.
UPDATE optout_recent r
SET address = NULL, campaign = '', affiliate = '', sub_affiliate = '', ip = '',
    -- What somebody wrote by hand may name anybody; where a provider or a link is the source, it is an execution.
    source = CASE WHEN r.cause IN ('api', 'collect') THEN '' ELSE r.source END,
    hash = CASE l.hash WHEN 'md5' THEN NULL ELSE e.whole END
FROM unnest(:names::text[], :wholes::bytea[]) AS e (name, whole)
JOIN optout_list l ON l.hash = e.name
WHERE l.brand_id = :brand_id AND r.list_id = l.id AND r.brand_id = l.brand_id AND r.digest = substring(e.whole FOR 16)
    AND (
        r.address IS NOT NULL OR r.campaign || r.affiliate || r.sub_affiliate || r.ip <> ''
        OR r.cause IN ('api', 'collect') AND r.source <> ''
    )

-- name: blank_lifted
-- Why an entry was taken off, and by whom, in words that somebody wrote.
UPDATE optout_lifted r
SET source = '', reason = '', actor = ''
FROM unnest(:names::text[], :wholes::bytea[]) AS e (name, whole)
JOIN optout_list l ON l.hash = e.name
WHERE l.brand_id = :brand_id AND r.list_id = l.id AND r.brand_id = l.brand_id AND r.digest = substring(e.whole FOR 16)
    AND r.source || r.reason || r.actor <> ''

-- name: ask_erasure
-- Of every list that has files, or is about to have some; who of them has this one only compaction reads. Of one that was asked
-- before the first time goes on to count, and files that have begun to come since are waited for, too.
INSERT INTO optout_erasure AS e (list_id, digest, brand_id, asked_at)
SELECT l.id, substring(n.whole FOR 16), l.brand_id, :now
FROM unnest(:names::text[], :wholes::bytea[]) AS n (name, whole)
JOIN optout_list l ON l.hash = n.name
WHERE l.brand_id = :brand_id
    AND (
        l.id IN (SELECT s.list_id FROM optout_segment s WHERE s.brand_id = :brand_id AND s.replaced_at IS NULL)
        OR l.id IN (
            SELECT j.list_id FROM optout_job j
            WHERE j.brand_id = :brand_id AND j.kind = 'import'
                AND j.state IN ('uploading', 'queued', 'running')
        )
    )
ON CONFLICT (list_id, digest) DO UPDATE SET again_at = excluded.asked_at
