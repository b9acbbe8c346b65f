-- name: claim
-- Status 0 is a call that is being handled. One whose process died is taken over after a minute by an equal call.
INSERT INTO idempotency_key (brand_id, key, request_hash, status, headers, body, created_at)
VALUES (:brand_id, :key, :request_hash, 0, '{}', '', :now)
ON CONFLICT (brand_id, key) DO UPDATE SET created_at = excluded.created_at
WHERE idempotency_key.brand_id = :brand_id
    AND idempotency_key.status = 0
    AND idempotency_key.request_hash = excluded.request_hash
    AND idempotency_key.created_at < excluded.created_at - interval '60 seconds'
RETURNING created_at

-- name: look
SELECT request_hash, status, headers, body
FROM idempotency_key
WHERE brand_id = :brand_id AND key = :key

-- name: finish
UPDATE idempotency_key
SET status = :status, headers = :headers, body = :body
WHERE brand_id = :brand_id AND key = :key AND status = 0 AND created_at = :claimed_at

-- name: release
DELETE FROM idempotency_key
WHERE brand_id = :brand_id AND key = :key AND status = 0 AND created_at = :claimed_at
