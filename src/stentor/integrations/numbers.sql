-- for each KIND of: segment, campaign
-- Numbers for what partners know by an integer, and we by an id.

-- name: named
SELECT t.id, t.name, n.number
FROM {KIND} t
LEFT JOIN hub_number n ON n.brand_id = :brand_id AND n.kind = '{KIND}' AND n.thing_id = t.id
WHERE t.brand_id = :brand_id
ORDER BY n.number NULLS LAST, t.id
LIMIT :limit

-- name: hold
-- Of those who number things of a brand at the same moment, each goes on from where the ones before it ended.
SELECT pg_advisory_xact_lock(hashtextextended('hub numbers {KIND}', hashtextextended((:brand_id)::uuid::text, 0)))

-- name: number
-- Those that have none yet, in the order of their making. The first number is 2: an action 1 is that of the control group.
WITH missing AS MATERIALIZED (
    SELECT t.id, row_number() OVER (ORDER BY t.id)::integer AS place
    FROM {KIND} t
    WHERE t.brand_id = :brand_id
        AND NOT EXISTS (SELECT FROM hub_number n WHERE n.brand_id = :brand_id AND n.kind = '{KIND}' AND n.thing_id = t.id)
), last AS MATERIALIZED (
    SELECT coalesce(max(number), 1) AS number FROM hub_number WHERE brand_id = :brand_id AND kind = '{KIND}'
)
INSERT INTO hub_number (brand_id, kind, number, thing_id)
SELECT :brand_id, '{KIND}', last.number + missing.place, missing.id
FROM missing
CROSS JOIN last
