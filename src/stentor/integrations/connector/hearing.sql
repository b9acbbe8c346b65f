-- Whom a hub revoked of what was pulled from it.

-- name: by_key
-- Those of these people who are in the run, with their ids at the hub.
SELECT p.customer_id, p.external_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN connector_person p ON p.run_id = :run_id AND p.part = n.part AND p.customer_id = n.customer_id
WHERE p.brand_id = :brand_id

-- name: by_external_id
-- Whose ids at the hub are other ones than here. It goes through the run's people, and only where somebody was revoked.
SELECT p.customer_id
FROM connector_person p
WHERE p.run_id = :run_id AND p.brand_id = :brand_id AND p.external_id = ANY(:external_ids::text[])

-- name: all_names
SELECT p.part, p.customer_id, p.external_id
FROM connector_person p
WHERE p.run_id = :run_id AND p.brand_id = :brand_id AND (p.part, p.customer_id) > (:after_part, :after::uuid)
ORDER BY p.part, p.customer_id
LIMIT :limit

-- name: mark
UPDATE connector_person p
SET revoked_at = :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE p.run_id = :run_id AND p.part = n.part AND p.customer_id = n.customer_id AND p.brand_id = :brand_id AND p.revoked_at IS NULL

-- name: marked
SELECT g.execution_id, p.customer_id
FROM connector_person p
JOIN connector_group g ON g.run_id = p.run_id AND g.number = p.group_number AND g.brand_id = :brand_id
WHERE p.run_id = :run_id AND p.brand_id = :brand_id AND p.revoked_at IS NOT NULL AND g.execution_id IS NOT NULL

-- name: note_heard
UPDATE connector_run
SET heard_to = greatest(heard_to, :heard_to::integer), revoked = revoked + :count, failures = 0, last_error = ''
WHERE id = :id AND brand_id = :brand_id

-- name: note_deaf
UPDATE connector_run SET is_deaf = true WHERE id = :id AND brand_id = :brand_id
