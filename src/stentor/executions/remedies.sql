-- name: hold_run
-- Of a step, its run, whose words it says: it is not forgotten until the transaction ends. Before the step, as whoever pauses or
-- cancels locks both.
SELECT true
FROM execution r
WHERE r.brand_id = :brand_id AND r.id = (
    SELECT e.parent_id FROM execution e WHERE e.id = :execution_id AND e.brand_id = :brand_id AND e.step > 0
)
FOR SHARE

-- name: lock
-- Whoever orders something for an execution waits here for others who do, and for its end. A step has lost its words with its run's.
SELECT e.state, coalesce(e.deadline_at <= :now, false), e.is_test, e.forgotten_at IS NOT NULL OR e.step > 0 AND NOT EXISTS (
    SELECT FROM execution r WHERE r.id = e.parent_id AND r.brand_id = :brand_id AND r.forgotten_at IS NULL
)
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id
FOR UPDATE OF e

-- name: counted
-- How many sends a remedy would be for.
SELECT coalesce(sum(t.sends), 0)::bigint
FROM tally t
WHERE t.execution_id = :execution_id AND t.brand_id = :brand_id AND t.state = :state::smallint
    AND (:reasons::smallint[] IS NULL OR t.reason = ANY(:reasons)) AND (:channel::smallint IS NULL OR t.channel = :channel)

-- name: is_under_way
SELECT EXISTS (
    SELECT FROM remedy r
    WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id AND r.action = :action AND r.done_at IS NULL
        AND (r.channel IS NULL OR r.channel = :channel)
)

-- name: reopen
-- What had ended is sending again, or with nothing left to send ends anew; status_at, which says when it was published, stays.
UPDATE execution
SET remedies = remedies + 1, ended_at = NULL, state = CASE state WHEN 'ended' THEN 'sending' ELSE state END
WHERE id = :execution_id AND brand_id = :brand_id
RETURNING remedies

-- name: order
INSERT INTO remedy (execution_id, number, brand_id, action, channel, asked_by, asked_at)
VALUES (:execution_id, :number, :brand_id, :action, :channel, :asked_by, :now)

-- name: asking_channels
-- Those on which a sender asks what becomes of doubt.
SELECT DISTINCT c.channel
FROM chunk c
JOIN sender s ON s.id = c.sender_id AND s.brand_id = :brand_id
WHERE c.execution_id = :execution_id AND c.brand_id = :brand_id AND s.in_doubt = 'ask'

-- name: claim
-- all brands: a worker takes whatever was asked for first, whoever it belongs to.
-- The row lock is the lease. Those of one execution are carried out one after the other.
SELECT r.execution_id, r.number, r.brand_id, r.action, r.channel, r.asked_at, r.next_part, e.state, e.audience_size
FROM remedy r
JOIN execution e ON e.id = r.execution_id
WHERE r.done_at IS NULL AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM remedy o WHERE o.execution_id = r.execution_id AND o.number < r.number AND o.done_at IS NULL)
ORDER BY e.lane, r.execution_id, r.number
LIMIT 1
FOR UPDATE OF r SKIP LOCKED

-- name: treat
-- Those who stood so when the remedy was asked for, and no others: who fails or comes into doubt later is another question.
-- Joined to themselves for what they were before.
UPDATE send s
SET state = :state_to::smallint, reason = :reason_to::smallint, rule = 0, evidence = 0, decided_at = :now,
    chunk = CASE WHEN :state_to::smallint = 0 THEN :round::integer + (s.chunk & :low_bits::integer) ELSE s.chunk END
FROM send o
WHERE o.execution_id = :execution_id AND o.brand_id = :brand_id AND o.part BETWEEN :part_from AND :part_to
    AND o.state = :state_from::smallint AND (:reasons::smallint[] IS NULL OR o.reason = ANY(:reasons))
    AND (:channel::smallint IS NULL OR o.channel = :channel) AND o.decided_at <= :asked_at
    AND s.execution_id = o.execution_id AND s.part = o.part AND s.customer_id = o.customer_id AND s.channel = o.channel
    AND s.brand_id = :brand_id AND s.state = :state_from::smallint
RETURNING s.customer_id, s.channel, s.chunk, o.reason

-- name: open_chunks
-- The chunks of the same keys for this round, made or opened again; due at once, or to be pulled.
INSERT INTO chunk (execution_id, number, brand_id, sender_id, channel, lane, key_from, key_to, sends, due_at, parked, pulled)
SELECT DISTINCT ON (w.number) c.execution_id, w.number, c.brand_id, c.sender_id, c.channel, c.lane, c.key_from, c.key_to, w.sends, :now,
    s.kind = 'listener', s.kind = 'listener'
FROM unnest(:numbers::integer[], :sends::integer[]) AS w (number, sends)
JOIN chunk c ON c.number & :place_mask::integer = w.number & :place_mask::integer
JOIN sender s ON s.id = c.sender_id AND s.brand_id = :brand_id
WHERE c.execution_id = :execution_id AND c.brand_id = :brand_id
ORDER BY w.number, c.number
ON CONFLICT (execution_id, number) DO UPDATE
SET sends = chunk.sends + excluded.sends, due_at = CASE WHEN chunk.done_at IS NULL THEN chunk.due_at ELSE excluded.due_at END,
    done_at = NULL, parked = chunk.parked OR excluded.parked, pulled = excluded.pulled

-- name: note_progress
UPDATE remedy
SET next_part = :next_part, sends = sends + :sends, done_at = CASE WHEN :is_done THEN :now END
WHERE execution_id = :execution_id AND number = :number AND brand_id = :brand_id

-- name: page
SELECT r.number, r.action, r.channel, r.asked_by, r.asked_at, r.sends, r.done_at
FROM remedy r
WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id
ORDER BY r.number DESC
LIMIT :limit
