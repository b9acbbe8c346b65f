-- name: claim_events
-- In (brand, digest) order, as every claimer takes them.
INSERT INTO event_claim (brand_id, digest, execution_id, claimed_at, until)
SELECT c.brand_id, c.digest, c.execution_id, :now, greatest(:now, c.start_at) + make_interval(secs => c.window_s)
FROM unnest(
        :brand_ids::uuid[], :digests::bytea[], :execution_ids::uuid[], :windows_s::integer[], :starts_at::timestamptz[]
    ) AS c (brand_id, digest, execution_id, window_s, start_at)
ORDER BY c.brand_id, c.digest
ON CONFLICT (brand_id, digest) DO UPDATE
SET execution_id = excluded.execution_id, claimed_at = excluded.claimed_at, until = excluded.until
WHERE event_claim.until <= :now
    OR EXISTS (
        SELECT FROM execution e
        WHERE e.id = event_claim.execution_id AND e.brand_id = ANY(:brand_ids) AND e.state IN ('failed', 'cancelled')
    )
RETURNING brand_id, digest

-- name: first_executions
SELECT e.brand_id, e.digest, e.execution_id
FROM unnest(:brand_ids::uuid[], :digests::bytea[]) AS k (brand_id, digest)
JOIN event_claim e ON e.brand_id = k.brand_id AND e.digest = k.digest

-- name: release_events
DELETE FROM event_claim e
USING unnest(:brand_ids::uuid[], :digests::bytea[]) AS k (brand_id, digest)
WHERE e.brand_id = k.brand_id AND e.digest = k.digest

-- name: forget_events
-- all brands: a sweep by age.
DELETE FROM event_claim
WHERE (brand_id, digest) IN (
    SELECT brand_id, digest FROM event_claim WHERE until < :now ORDER BY until LIMIT :limit FOR UPDATE SKIP LOCKED
)
