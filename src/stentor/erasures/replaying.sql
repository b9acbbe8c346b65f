-- name: people
-- Everybody of a brand, bare addresses too, in id order.
SELECT customer_id, created_at
FROM customer
WHERE brand_id = :brand_id AND (part, customer_id) > (:after_part::smallint, :after::uuid)
ORDER BY part, customer_id
LIMIT :limit

-- name: tombstones
-- The same of those who were merged into somebody.
SELECT customer_id, created_at
FROM customer_merged
WHERE brand_id = :brand_id AND (part, customer_id) > (:after_part::smallint, :after::uuid)
ORDER BY part, customer_id
LIMIT :limit

-- name: is_read
SELECT restored_at IS NULL OR erasures_read_at IS NOT NULL FROM installation

-- name: note_read
UPDATE installation SET erasures_read_at = :now WHERE restored_at IS NOT NULL
