-- Segments: few, read often. What they mean is compiled (compiling.py), and stands in no file.

-- name: insert_segment
INSERT INTO segment (id, brand_id, name, expression, created_at, updated_at)
VALUES (:id, :brand_id, :name, :expression::jsonb, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: find_segment
SELECT id, name, expression::text, version, created_at, updated_at
FROM segment
WHERE id = :id AND brand_id = :brand_id

-- name: page_of_segments
SELECT id, name, expression::text, version, created_at, updated_at
FROM segment
WHERE brand_id = :brand_id AND (:after::uuid IS NULL OR id > :after::uuid)
ORDER BY id
LIMIT :limit

-- name: is_named
SELECT EXISTS (SELECT FROM segment WHERE brand_id = :brand_id AND name = :name AND id <> :id)

-- name: lock_segment
SELECT FROM segment WHERE id = :id AND brand_id = :brand_id FOR NO KEY UPDATE

-- name: update_segment
UPDATE segment
SET name = coalesce(:name::text, name), expression = coalesce(:expression::jsonb, expression),
    version = version + (coalesce(:expression::jsonb, expression) <> expression)::integer, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: count_segments
SELECT count(*)::integer FROM segment WHERE brand_id = :brand_id

-- name: delete_segment
DELETE FROM segment WHERE id = :id AND brand_id = :brand_id

-- name: unknown_zones
-- Time zones that this server has no clock of, though others know them.
SELECT z.name
FROM unnest(:zones::text[]) AS z (name)
WHERE NOT EXISTS (SELECT FROM pg_timezone_names t WHERE t.name = z.name)

-- name: sampled_people
-- Ids are hashes, so that the first of a random part are a random sample.
SELECT part, customer_id
FROM customer
WHERE brand_id = :brand_id AND NOT anonymous AND part >= :part::smallint
ORDER BY brand_id, part, customer_id
LIMIT :limit

-- name: attributes_of
SELECT a.name, jsonb_typeof(a.value), count(*)
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
CROSS JOIN LATERAL jsonb_each(c.attributes) AS a (name, value)
WHERE jsonb_typeof(a.value) <> 'null'
GROUP BY 1, 2
ORDER BY 3 DESC, 1, 2
LIMIT :limit

-- name: values_of
-- What at least so many people have; numbers, and what is everybody's own, are no choice.
SELECT a.name, a.value #>> '{}'
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
CROSS JOIN LATERAL jsonb_each(c.attributes) AS a (name, value)
WHERE jsonb_typeof(a.value) = 'string' AND length(a.value #>> '{}') <= :chars
GROUP BY 1, 2
HAVING count(*) >= :people
ORDER BY a.name, count(*) DESC, 2
LIMIT :limit

-- name: events_of
SELECT e.name
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer_event e ON e.part = n.part AND e.customer_id = n.customer_id AND e.brand_id = :brand_id
GROUP BY e.name
ORDER BY count(*) DESC, e.name
LIMIT :limit
