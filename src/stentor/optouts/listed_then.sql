-- name: steady
-- Since when each list that is asked now is asked as it is: before, it or what it leads to was another one.
SELECT a.list_id, a.store_id, l.created_at,
    greatest(l.created_at, l.updated_at, s.created_at, s.updated_at, g.granted_at, m.updated_at),
    coalesce((
        SELECT max(n.generation)
        FROM optout_generation n
        WHERE n.list_id = a.store_id AND n.brand_id = a.store_brand_id AND n.at <= :at
    ), 0)
FROM optout_asked a
JOIN optout_list l ON l.id = a.list_id
JOIN optout_list s ON s.id = a.store_id
LEFT JOIN optout_grant g ON g.list_id = a.store_id AND g.grantee_id = a.brand_id AND a.store_brand_id <> a.brand_id
CROSS JOIN LATERAL (SELECT max(m.updated_at) AS updated_at FROM optout_list m WHERE m.id = ANY (l.members)) m
WHERE a.brand_id = :brand_id

-- name: last_left
-- When a list was last taken out of those that are asked.
SELECT max(coalesce(l.updated_at, l.created_at)) FROM optout_list l WHERE l.brand_id = :brand_id AND l.state <> 'enabled'

-- name: named
SELECT l.name FROM optout_list l WHERE l.brand_id = :brand_id AND l.number = :number

-- name: entries
-- All that was ever said of these digests, what was taken off too. A list may be another brand's, who lets this one read it.
SELECT s.list_id, e.digest, e.cause, e.at, e.source, e.lifted_at
FROM unnest(:list_ids::uuid[], :brand_ids::uuid[]) AS s (list_id, brand_id)
CROSS JOIN LATERAL (
    SELECT r.digest, r.cause, r.at, r.source, NULL::timestamptz AS lifted_at
    FROM optout_recent r
    WHERE r.list_id = s.list_id AND r.brand_id = s.brand_id AND r.digest = ANY (:digests::bytea[])
    UNION ALL
    SELECT l.digest, l.cause, l.at, l.source, l.lifted_at
    FROM optout_lifted l
    WHERE l.list_id = s.list_id AND l.brand_id = s.brand_id AND l.digest = ANY (:digests::bytea[])
) e

-- name: made_at
SELECT g.list_id, g.generation, g.at
FROM unnest(:list_ids::uuid[], :brand_ids::uuid[], :generations::bigint[]) AS s (list_id, brand_id, generation)
JOIN optout_generation g ON g.list_id = s.list_id AND g.brand_id = s.brand_id AND g.generation = s.generation
