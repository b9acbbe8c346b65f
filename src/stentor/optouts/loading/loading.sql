-- What a load of a file reads of its list, and how what it made becomes part of it.

-- name: begin
-- The generation of what is loaded is taken before it is known whether anything will be: files carry it inside.
UPDATE optout_list
SET generation = generation + 1
WHERE id = :list_id AND brand_id = :brand_id AND state <> 'deleted' AND kind NOT IN ('grouped', 'linked')
RETURNING kind, hash, channels, expiry_days, generation, :now AS at

-- name: live_runs
-- Of a list whose entries lapse only those that were learned in the last tenth of that time: older ones are to be learned anew.
SELECT r.id, r.generation, r.entries
FROM optout_run r
JOIN optout_list l ON l.id = r.list_id
WHERE r.list_id = :list_id AND r.brand_id = :brand_id AND r.replaced_at IS NULL
    AND (l.expiry_days IS NULL OR r.learned_at > :now - make_interval(days => l.expiry_days) / 10)
ORDER BY r.id

-- name: recents
-- Of the built-in list not those of people and of providers: when the person takes them back, what a file brought holds, whichever
-- of the two came first.
SELECT e.digest
FROM optout_recent e
JOIN optout_list l ON l.id = e.list_id
WHERE e.list_id = :list_id AND e.brand_id = :brand_id AND e.digest > :after
    AND (l.expiry_days IS NULL OR e.at > :now - make_interval(days => l.expiry_days) / 10)
    AND (NOT l.built_in OR e.cause IN ('api', 'import'))
ORDER BY e.digest
LIMIT :limit

-- name: removals
SELECT digest, generation
FROM optout_removed
WHERE list_id = :list_id AND brand_id = :brand_id AND digest > :after
ORDER BY digest
LIMIT :limit

-- name: recents_since
SELECT e.digest
FROM optout_recent e
JOIN optout_list l ON l.id = e.list_id
WHERE e.list_id = :list_id AND e.brand_id = :brand_id AND e.at >= :since AND e.digest > :after
    AND (NOT l.built_in OR e.cause IN ('api', 'import'))
ORDER BY e.digest
LIMIT :limit

-- name: lock_list
SELECT true FROM optout_list WHERE id = :list_id AND brand_id = :brand_id AND state <> 'deleted' FOR UPDATE

-- name: insert_run
INSERT INTO optout_run (id, list_id, brand_id, generation, entries, bytes, learned_at, created_at)
VALUES (:id, :list_id, :brand_id, :generation, :entries, :bytes, :learned_at, :now)

-- name: insert_segments
INSERT INTO optout_segment (id, list_id, brand_id, generation, entries, bytes, learned_at, created_at)
SELECT s.id, :list_id, :brand_id, :generation, s.entries, s.bytes, s.learned_at, :now
FROM unnest(:ids::uuid[], :entries::bigint[], :bytes::bigint[], :learned_at::timestamptz[]) AS s (id, entries, bytes, learned_at)

-- name: insert_generation
INSERT INTO optout_generation (list_id, generation, brand_id, at, what)
VALUES (:list_id, :generation, :brand_id, :now, 'import')

-- name: next_generation
-- Compaction that began before knows nothing of this removal, and may have cleared files up to the load's own generation, or beyond.
WITH list AS (
    UPDATE optout_list SET generation = generation + 1 WHERE id = :list_id AND brand_id = :brand_id
    RETURNING generation
)
INSERT INTO optout_generation (list_id, generation, brand_id, at, what)
SELECT :list_id, generation, :brand_id, :now, 'removal' FROM list
RETURNING generation

-- name: give_way
-- Whoever opted out while the file was being loaded said more than the file: their own entry is the one that holds.
INSERT INTO optout_removed (list_id, digest, brand_id, generation, at)
SELECT :list_id, d.digest, :brand_id, :generation, :now
FROM unnest(:digests::bytea[]) AS d (digest)
JOIN optout_recent e ON e.list_id = :list_id AND e.brand_id = :brand_id AND e.digest = d.digest
ON CONFLICT (list_id, digest) DO UPDATE SET generation = greatest(optout_removed.generation, excluded.generation), at = :now
