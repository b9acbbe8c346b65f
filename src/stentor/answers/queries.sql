-- name: reserve
-- For as long as the transaction lasts, or not at all: whoever waited here would hold a connection.
SELECT pg_try_advisory_xact_lock(hashtextextended(:key, hashtextextended((:brand_id)::uuid::text, 0)))

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
