-- name: insert_client
INSERT INTO hub_client (id, brand_id, name, username, password, key_digest, created_at, updated_at)
VALUES (:id, :brand_id, :name, :username, :password, :key_digest, :now, :now)
ON CONFLICT (username) DO NOTHING

-- name: count_clients
SELECT count(*)::integer FROM hub_client WHERE brand_id = :brand_id AND revoked_at IS NULL

-- name: count_ever
SELECT count(*)::integer FROM hub_client WHERE brand_id = :brand_id

-- name: client_by_id
SELECT c.id, c.brand_id, c.name, c.username,
    (SELECT jsonb_object_agg(g.number, g.attributes)::text FROM client_channel g WHERE g.client_id = c.id),
    (SELECT jsonb_object_agg(g.number, g.writes)::text FROM client_channel g WHERE g.client_id = c.id),
    c.created_at, c.updated_at, c.last_used_at, c.revoked_at
FROM hub_client c
WHERE c.brand_id = :brand_id AND c.id = :id

-- name: lock_client
SELECT username, key_digest, revoked_at FROM hub_client WHERE brand_id = :brand_id AND id = :id FOR UPDATE

-- name: clients_of_brand
SELECT c.id, c.brand_id, c.name, c.username,
    (SELECT jsonb_object_agg(g.number, g.attributes)::text FROM client_channel g WHERE g.client_id = c.id),
    (SELECT jsonb_object_agg(g.number, g.writes)::text FROM client_channel g WHERE g.client_id = c.id),
    c.created_at, c.updated_at, c.last_used_at, c.revoked_at
FROM hub_client c
WHERE c.brand_id = :brand_id AND c.id > :after AND (:is_revoked_too OR c.revoked_at IS NULL)
ORDER BY c.id
LIMIT :limit

-- name: rename_client
UPDATE hub_client SET name = :name, updated_at = :now WHERE brand_id = :brand_id AND id = :id

-- name: clear_grants
DELETE FROM client_channel WHERE brand_id = :brand_id AND client_id = :id

-- name: insert_grant
INSERT INTO client_channel (client_id, number, brand_id, attributes, writes)
VALUES (:id, :number, :brand_id, :attributes::text[], :writes::text[])

-- name: change_credentials
UPDATE hub_client
SET password = :password, key_digest = :key_digest, updated_at = :now
WHERE brand_id = :brand_id AND id = :id

-- name: revoke_client
UPDATE hub_client SET revoked_at = :now, updated_at = :now WHERE brand_id = :brand_id AND id = :id

-- name: note_ended_key
-- all brands: whoever holds a key of that digest has nothing, wherever it was theirs.
INSERT INTO ended_hub_key (key_digest, ended_at) VALUES (:key_digest, :now) ON CONFLICT (key_digest) DO NOTHING

-- name: caller_by_key
-- all brands: the key is what says who calls, and for which brand.
-- None in a restored copy that does not know which keys ended since.
SELECT c.id, c.brand_id, c.name, c.key_digest,
    (SELECT jsonb_object_agg(g.number, g.attributes)::text FROM client_channel g WHERE g.client_id = c.id),
    (SELECT jsonb_object_agg(g.number, g.writes)::text FROM client_channel g WHERE g.client_id = c.id)
FROM hub_client c
WHERE c.key_digest = :key_digest AND c.revoked_at IS NULL
    AND NOT EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL AND revocations_read_at IS NULL)

-- name: caller_by_id
-- all brands: a token is what says who calls, and for which brand.
-- None in a restored copy that does not know which keys ended since.
SELECT c.id, c.brand_id, c.name, c.key_digest,
    (SELECT jsonb_object_agg(g.number, g.attributes)::text FROM client_channel g WHERE g.client_id = c.id),
    (SELECT jsonb_object_agg(g.number, g.writes)::text FROM client_channel g WHERE g.client_id = c.id)
FROM hub_client c
WHERE c.id = :id AND c.revoked_at IS NULL
    AND NOT EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL AND revocations_read_at IS NULL)

-- name: password_of
-- all brands: the user name is what says who calls, and for which brand.
SELECT id, password, key_digest FROM hub_client WHERE username = :username AND revoked_at IS NULL

-- name: note_use
-- all brands: clients of all of them call.
UPDATE hub_client c
SET last_used_at = date_trunc('minute', :now)
FROM (SELECT h.id FROM hub_client h WHERE h.id = ANY(:ids) ORDER BY h.id FOR UPDATE) AS used
WHERE c.id = used.id AND c.last_used_at IS DISTINCT FROM date_trunc('minute', :now)
