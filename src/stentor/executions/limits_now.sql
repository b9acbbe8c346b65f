-- name: queues
-- What is left to do of an execution, by channel and sender, from its chunks: some thousand of a million people.
SELECT c.channel, s.id AS sender_id, s.name AS sender, s.pace_per_s, s.paused_at IS NOT NULL AS is_paused,
    s.enabled AS is_enabled,
    count(*) FILTER (WHERE c.pulled) AS pulled,
    count(*) FILTER (WHERE c.slot > 0 AND c.is_later) AS held,
    min(c.due_at) FILTER (WHERE c.slot > 0 AND c.is_later) AS held_until,
    count(*) FILTER (WHERE c.slot = 0 AND c.round > 0 AND c.is_later) AS retrying,
    min(c.due_at) FILTER (WHERE c.slot = 0 AND c.round > 0 AND c.is_later) AS retry_at,
    count(*) FILTER (WHERE c.slot = 0 AND c.round = 0 AND c.is_later) AS spread,
    max(c.due_at) FILTER (WHERE c.slot = 0 AND c.round = 0 AND c.is_later) AS spread_until,
    count(*) FILTER (WHERE c.is_due AND c.lease_until > :now) AS at_work,
    count(*) FILTER (WHERE c.is_due AND c.lease_until <= :now) AS left_alone,
    count(*) FILTER (WHERE c.is_due AND c.lease_until IS NULL) AS waiting,
    min(c.due_at) FILTER (WHERE c.is_due AND c.lease_until IS NULL) AS waiting_since
FROM (
    SELECT k.channel, k.sender_id, k.due_at, k.lease_until, k.pulled,
        k.number >> :slot_bits::integer & :slots::integer AS slot, k.number >> :round_bits::integer AS round,
        NOT k.parked AND k.due_at > :now AS is_later, NOT k.parked AND k.due_at <= :now AS is_due
    FROM chunk k
    WHERE k.execution_id = :execution_id AND k.brand_id = :brand_id AND k.done_at IS NULL
) c
JOIN sender s ON s.id = c.sender_id AND s.brand_id = :brand_id
GROUP BY c.channel, s.id
ORDER BY c.channel, s.name

-- name: surroundings
-- What holds up whole executions: a copy that nobody let go, and people who are not fixed or planned yet. And what time it is.
SELECT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL) AS is_copy, e.awaits_cast,
    (SELECT count(*) FROM slice s WHERE s.execution_id = e.id AND s.planned_at IS NULL) AS slices_left, :now AS now
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id

-- name: buckets
-- What there is to take by now, of senders and of limits per hour; one that nobody has taken from is full, and absent.
SELECT b.sender_id AS owner_id, b.tokens + p.per_s * greatest(0, extract(epoch FROM :now - b.refilled_at)) AS tokens
FROM sender_bucket b
JOIN unnest(:sender_ids::uuid[], :paces::double precision[]) AS p (sender_id, per_s) ON p.sender_id = b.sender_id
WHERE b.brand_id = :brand_id
UNION ALL
SELECT h.owner_id, h.tokens + h.per_s * greatest(0, extract(epoch FROM :now - h.refilled_at))
FROM hour_bucket h
WHERE h.owner_id = ANY(:limit_ids::uuid[]) AND h.brand_id = :brand_id
