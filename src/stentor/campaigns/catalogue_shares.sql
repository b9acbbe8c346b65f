-- Links by which a brand's catalogue is read without a login.

-- name: count_shares
SELECT count(*)::integer FROM catalogue_share WHERE brand_id = :brand_id

-- name: insert_share
INSERT INTO catalogue_share (id, brand_id, note, made_by, created_at, expires_at)
VALUES (:id, :brand_id, :note, :made_by, :now, :now + make_interval(days => :days))
RETURNING id, note, made_by, created_at, expires_at, false AS is_over

-- name: find_share
SELECT id, note, made_by, created_at, expires_at, expires_at <= :now AS is_over
FROM catalogue_share
WHERE id = :id AND brand_id = :brand_id

-- name: list_shares
SELECT id, note, made_by, created_at, expires_at, expires_at <= :now AS is_over
FROM catalogue_share
WHERE brand_id = :brand_id
ORDER BY id DESC

-- name: delete_share
DELETE FROM catalogue_share WHERE id = :id AND brand_id = :brand_id
