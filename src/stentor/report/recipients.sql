-- name: page
-- An execution's sends in the order of their key, with the filters that a report drills down by.
SELECT s.customer_id, c.external_id, s.channel, s.state, s.reason, s.variant, s.tries, s.doubts, s.decided_at,
    coalesce(CASE WHEN s.channel = 1 THEN c.email WHEN s.channel IN (2, 5, 6) THEN c.phone END, '') AS address
FROM send s
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id AND c.brand_id = :brand_id
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id
    AND (s.part, s.customer_id, s.channel) > (:after_part::smallint, :after_customer::uuid, :after_channel::smallint)
    AND s.part <= :part_to::smallint
    AND (:state::smallint IS NULL OR s.state = :state) AND (:reason::smallint IS NULL OR s.reason = :reason)
    AND (:channel::smallint IS NULL OR s.channel = :channel)
ORDER BY s.part, s.customer_id, s.channel
LIMIT :limit

-- name: limit_idling
-- all brands: it touches no rows. Whoever reads so slowly holds up the cleaning of the whole database.
SELECT set_config('idle_in_transaction_session_timeout', '60s', true)

-- name: everybody
-- As `page`, to the end and at one moment.
SELECT s.customer_id, c.external_id, s.channel, s.state, s.reason, s.variant, s.tries, s.doubts, s.decided_at,
    coalesce(CASE WHEN s.channel = 1 THEN c.email WHEN s.channel IN (2, 5, 6) THEN c.phone END, '') AS address
FROM send s
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id AND c.brand_id = :brand_id
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id
    AND (:state::smallint IS NULL OR s.state = :state) AND (:reason::smallint IS NULL OR s.reason = :reason)
    AND (:channel::smallint IS NULL OR s.channel = :channel)
ORDER BY s.part, s.customer_id, s.channel

-- name: sends_of
SELECT s.channel, s.state, s.reason, s.rule, s.evidence, s.variant, s.tries, s.doubts, s.chunk, s.decided_at
FROM send s
WHERE s.execution_id = :execution_id AND s.part = :part AND s.customer_id = :customer_id AND s.brand_id = :brand_id
ORDER BY s.channel

-- name: answers_of
SELECT e.channel, e.kind, e.at, e.sender_id, e.answer
FROM delivery_event e
WHERE e.execution_id = :execution_id AND e.part = :part AND e.customer_id = :customer_id AND e.brand_id = :brand_id
ORDER BY e.event_id
