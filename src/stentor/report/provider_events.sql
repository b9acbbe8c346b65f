-- name: claim_due
-- all brands: the keeper applies what fell due, whoever it belongs to.
SELECT shard, provider, event_id, brand_id, execution_id, customer_id, part, channel, digest, kind, at, answer
FROM provider_event
WHERE applied_at IS NULL AND due_at <= :now
ORDER BY due_at
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: tell
-- What became of the sends; an event that was told before (a provider repeats itself) is told once.
INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind, answer)
SELECT e.execution_id, e.customer_id, :brand_id, e.event_id, e.at, e.part, :channel, e.kind, e.answer
FROM unnest(
        :execution_ids::uuid[], :customer_ids::uuid[], :event_ids::uuid[], :ats::timestamptz[], :parts::smallint[],
        :kinds::text[], :answers::text[]
    ) AS e (execution_id, customer_id, event_id, at, part, kind, answer)
ON CONFLICT DO NOTHING

-- name: mark_applied
UPDATE provider_event p
SET applied_at = :now
FROM unnest(:shards::smallint[], :providers::text[], :event_ids::text[]) AS e (shard, provider, event_id)
WHERE p.shard = e.shard AND p.provider = e.provider AND p.event_id = e.event_id AND p.brand_id = :brand_id

-- name: forget_applied
-- all brands: what was applied long ago is told nowhere but in its delivery event.
-- A range of time that holds a batch, and the rest of its last transaction.
DELETE FROM provider_event
WHERE applied_at < :now - make_interval(days => :days)
    AND applied_at <= coalesce(
        (SELECT applied_at FROM provider_event WHERE applied_at IS NOT NULL ORDER BY applied_at OFFSET :batch LIMIT 1),
        'infinity'
    )
