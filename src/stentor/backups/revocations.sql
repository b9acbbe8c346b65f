-- name: lock_unkept
-- all brands: keys of all of them are revoked.
-- Who keeps some at the same moment keeps others.
SELECT number, digest, revoked_at
FROM api_key
WHERE revoked_at IS NOT NULL AND NOT kept_outside
ORDER BY number
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: note_kept
-- all brands: keys of all of them are revoked.
UPDATE api_key SET kept_outside = true WHERE number = ANY(:numbers)

-- name: revoke_again
-- all brands: keys of all of them are revoked.
UPDATE api_key k
SET revoked_at = n.revoked_at
FROM unnest(:digests::bytea[], :times::timestamptz[]) AS n (digest, revoked_at)
WHERE k.digest = n.digest AND k.revoked_at IS NULL
RETURNING k.number, k.organisation_id, k.brand_id, k.name, k.hint

-- name: is_read
SELECT restored_at IS NULL OR revocations_read_at IS NOT NULL FROM installation

-- name: note_read
UPDATE installation SET revocations_read_at = :now WHERE restored_at IS NOT NULL

-- name: lock_unkept_of_hub
-- all brands: clients of all of them get other keys.
SELECT key_digest, ended_at
FROM ended_hub_key
WHERE NOT kept_outside
ORDER BY key_digest
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: note_kept_of_hub
-- all brands: clients of all of them get other keys.
UPDATE ended_hub_key SET kept_outside = true WHERE key_digest = ANY(:digests)

-- name: revoke_again_at_hub
-- all brands: clients of all of them get other keys.
-- A client whose key was changed since the backup is revoked: nobody knows here what it has instead.
UPDATE hub_client c
SET revoked_at = n.ended_at
FROM unnest(:digests::bytea[], :times::timestamptz[]) AS n (key_digest, ended_at)
WHERE c.key_digest = n.key_digest AND c.revoked_at IS NULL
RETURNING c.id, c.brand_id, c.username
