-- name: begin
-- Status 0 is a call that is being handled. One whose process died is taken over after a minute by an equal call.
INSERT INTO idempotency_key (brand_id, key, request_hash, status, headers, body, created_at)
VALUES (:brand_id, :key, :request_hash, 0, '{}', '', :now)
ON CONFLICT (brand_id, key) DO UPDATE SET created_at = excluded.created_at
WHERE idempotency_key.brand_id = :brand_id
    AND idempotency_key.status = 0
    AND idempotency_key.request_hash = excluded.request_hash
    AND idempotency_key.created_at < excluded.created_at - interval '60 seconds'
RETURNING created_at

-- name: finish
UPDATE idempotency_key
SET status = :status, headers = :headers, body = :body
WHERE brand_id = :brand_id AND key = :key AND status = 0 AND created_at = :claimed_at

-- name: abandon
DELETE FROM idempotency_key
WHERE brand_id = :brand_id AND key = :key AND status = 0 AND created_at = :claimed_at

-- name: claim_keys
-- In (brand, key) order: unsorted, two batches with keys in common deadlocked. An equal call that is being stored by
-- another process is waited for here.
INSERT INTO idempotency_key (brand_id, key, request_hash, status, headers, body, created_at)
SELECT k.brand_id, k.key, k.request_hash, k.status, k.headers::jsonb, k.body, :now
FROM unnest(
        :brand_ids::uuid[], :keys::text[], :request_hashes::bytea[], :statuses::smallint[], :headers::text[],
        :bodies::bytea[]
    ) AS k (brand_id, key, request_hash, status, headers, body)
ORDER BY k.brand_id, k.key
ON CONFLICT (brand_id, key) DO NOTHING
RETURNING brand_id, key

-- name: restate
UPDATE idempotency_key s
SET headers = k.headers::jsonb, body = k.body
FROM unnest(:brand_ids::uuid[], :keys::text[], :headers::text[], :bodies::bytea[]) AS k (brand_id, key, headers, body)
WHERE s.brand_id = k.brand_id AND s.key = k.key

-- name: stored_answers
SELECT s.brand_id, s.key, s.request_hash, s.status, s.headers, s.body
FROM unnest(:brand_ids::uuid[], :keys::text[]) AS k (brand_id, key)
JOIN idempotency_key s ON s.brand_id = k.brand_id AND s.key = k.key

-- name: release_keys
-- Of calls that got no token: only what was accepted is answered again.
DELETE FROM idempotency_key s
USING unnest(:brand_ids::uuid[], :keys::text[]) AS k (brand_id, key)
WHERE s.brand_id = k.brand_id AND s.key = k.key

-- name: forget_answers
-- all brands: a sweep by age.
-- Skips what an equal call is about to take over.
DELETE FROM idempotency_key
WHERE (brand_id, key) IN (
    SELECT brand_id, key
    FROM idempotency_key
    WHERE created_at < :now - interval '7 days'
    ORDER BY created_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
