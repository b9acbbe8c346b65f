-- name: insert_builtin
INSERT INTO optout_list (id, brand_id, name, built_in, created_at)
VALUES (:id, :brand_id, :name, true, :now)
ON CONFLICT (brand_id) WHERE built_in DO NOTHING

-- name: insert_entries
-- In digest order, so that two transactions with entries in common never wait for each other crosswise. The first one
-- stays, but for the entries' `outweigh`.
INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at, source, address, campaign, ip)
SELECT l.id, e.digest, l.brand_id, e.channel, e.cause, :now, e.source, e.address, e.campaign, e.ip
FROM unnest(
        :digests::bytea[], :channels::smallint[], :causes::text[], :sources::text[], :addresses::text[], :campaigns::text[],
        :ips::text[]
    ) AS e (digest, channel, cause, source, address, campaign, ip)
CROSS JOIN optout_list l
WHERE l.brand_id = :brand_id AND l.built_in
ORDER BY e.digest
ON CONFLICT (list_id, digest) DO NOTHING

-- name: builtin_id
SELECT id FROM optout_list WHERE brand_id = :brand_id AND built_in

-- name: delete_entries
-- What was, is kept.
WITH lifted AS (
    DELETE FROM optout_recent
    WHERE brand_id = :brand_id
        AND list_id = (SELECT id FROM optout_list WHERE brand_id = :brand_id AND built_in)
        AND digest = ANY(:digests::bytea[])
    RETURNING list_id, digest, brand_id, channel, cause, at, source
)
INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at)
SELECT l.list_id, l.digest, l.brand_id, l.channel, l.cause, l.at, l.source, :now FROM lifted l
