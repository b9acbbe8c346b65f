-- Addresses that a brand's test sends may go to.

-- name: count_test_recipients
SELECT count(*) FROM test_recipient WHERE brand_id = :brand_id

-- name: insert_test_recipient
INSERT INTO test_recipient (id, brand_id, address, name, created_at, confirmed_at)
VALUES (:id, :brand_id, :address, :name, :now, CASE WHEN :is_phone THEN :now END)
ON CONFLICT (brand_id, address) DO NOTHING

-- name: page_of_test_recipients
SELECT id, address, name, created_at, confirmed_at
FROM test_recipient
WHERE brand_id = :brand_id AND (:after::uuid IS NULL OR id > :after)
ORDER BY id
LIMIT :limit

-- name: find_test_recipient
SELECT id, address, name, created_at, confirmed_at FROM test_recipient WHERE id = :id AND brand_id = :brand_id

-- name: test_recipients_at
SELECT id, address, name, created_at, confirmed_at
FROM test_recipient
WHERE brand_id = :brand_id AND address = ANY(:addresses::text[])

-- name: hold_test_recipients
-- Until the transaction ends nobody removes them.
SELECT id FROM test_recipient WHERE brand_id = :brand_id AND id = ANY(:ids::uuid[]) ORDER BY id FOR SHARE

-- name: confirm_test_recipient
UPDATE test_recipient SET confirmed_at = :now WHERE id = :id AND brand_id = :brand_id AND confirmed_at IS NULL

-- name: delete_test_recipient
DELETE FROM test_recipient WHERE id = :id AND brand_id = :brand_id
