-- name: next_lanes
-- all brands: a planner asks what there is to do, whoever it belongs to.
-- In a restored copy that nobody has let go there is nothing.
SELECT
    (SELECT s.lane
    FROM slice s
    JOIN execution e ON e.id = s.execution_id
    WHERE s.planned_at IS NULL AND e.state = 'planning' AND e.paused_at IS NULL
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    ORDER BY s.lane, s.execution_id, s.number
    LIMIT 1),
    (SELECT e.lane
    FROM unnest(:lanes::smallint[], :floors::timestamptz[]) AS l (lane, floor)
    CROSS JOIN LATERAL (
        SELECT e.lane
        FROM execution e
        WHERE e.state = 'queued' AND NOT e.awaits_cast AND e.paused_at IS NULL AND e.lane = l.lane
            AND e.status_at >= least(l.floor, :now - make_interval(secs => :lag_s))
            AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
        LIMIT 1
    ) e
    LIMIT 1)

-- name: claim_queued
-- all brands: a planner takes whatever is first in its lane, whoever it belongs to.
-- The row lock is the lease: it ends with the transaction, also when the worker is killed.
-- The lanes come in their order, each from its floor on.
SELECT e.id, e.brand_id, e.publication_id, e.topic_key, e.topic_id, e.lane, e.is_test, e.recipients, e.audience, e.cast_at,
    e.cast_size, e.local_at, e.spread_s, e.per_hour
FROM unnest(:lanes::smallint[], :floors::timestamptz[]) AS l (lane, floor)
CROSS JOIN LATERAL (
    SELECT e.id, e.brand_id, e.publication_id, e.topic_key, e.topic_id, e.lane, e.is_test, e.recipients, e.audience, e.cast_at,
    e.cast_size, e.local_at, e.spread_s, e.per_hour
    FROM execution e
    WHERE e.state = 'queued' AND NOT e.awaits_cast AND e.paused_at IS NULL AND e.lane = l.lane
        AND e.status_at >= least(l.floor, :now - make_interval(secs => :lag_s))
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    ORDER BY e.status_at, e.id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
) e
LIMIT :limit

-- name: floors
-- all brands: a planner asks what there is to do, whoever it belongs to.
-- From where on each lane has to be looked through: its first execution that is queued, paused or not, with its cast or without.
SELECT least(
    :now - make_interval(secs => :lag_s),
    (
        SELECT e.status_at
        FROM execution e
        WHERE e.state = 'queued' AND e.lane = l.lane
            AND e.status_at >= least(l.floor, :now - make_interval(secs => :lag_s))
        ORDER BY e.status_at
        LIMIT 1
    )
)
FROM unnest(:lanes::smallint[], :floors::timestamptz[]) WITH ORDINALITY AS l (lane, floor, ordinal)
ORDER BY l.ordinal

-- name: claim_slice
-- all brands: a planner takes whatever is first in its lane, whoever it belongs to.
SELECT s.execution_id, s.number, s.brand_id, s.lane, s.part_from, s.part_to, s.chunks, s.chunk_base, e.publication_id,
    e.topic_id, e.is_test, e.cast_at, e.cast_size, e.local_at, e.spread_s, e.per_hour
FROM slice s
JOIN execution e ON e.id = s.execution_id
WHERE s.planned_at IS NULL AND e.state = 'planning' AND e.paused_at IS NULL
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY s.lane, s.execution_id, s.number
LIMIT 1
FOR UPDATE OF s SKIP LOCKED

-- name: insert_slices
INSERT INTO slice (execution_id, number, brand_id, lane, part_from, part_to, chunks, chunk_base)
SELECT :execution_id, s.number, :brand_id, :lane, s.part_from, s.part_to, :chunks, s.chunk_base
FROM unnest(:numbers::smallint[], :parts_from::smallint[], :parts_to::smallint[], :chunk_bases::integer[])
    AS s (number, part_from, part_to, chunk_base)

-- name: await_cast
UPDATE execution SET awaits_cast = true WHERE id = :execution_id AND brand_id = :brand_id

-- name: anything_uncast
-- all brands: a caster asks what there is to do, whoever it belongs to.
SELECT EXISTS (
    SELECT FROM execution
    WHERE state = 'queued' AND awaits_cast AND casts_alone = :alone AND paused_at IS NULL
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
)

-- name: claim_uncast
-- all brands: a caster takes whatever is first in its lane, whoever it belongs to.
-- The row lock is the lease, as for planners.
SELECT id, brand_id, publication_id, topic_key, topic_id, lane, is_test, recipients, audience, cast_at, cast_size, local_at, spread_s,
    per_hour
FROM execution
WHERE state = 'queued' AND awaits_cast AND NOT casts_alone AND paused_at IS NULL
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY lane, status_at, id
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: cast_alone
UPDATE execution SET casts_alone = true WHERE id = :execution_id AND brand_id = :brand_id

-- name: hold_uncast
-- all brands: a caster takes whatever is first in its lane, whoever it belongs to.
-- Of those that take long. The lease is a lock beside the row, so that whoever pauses or cancels waits for nobody. It is asked for
-- behind the order, one after the other, until there is one.
SELECT e.id, e.brand_id, e.publication_id, e.topic_key, e.topic_id, e.lane, e.is_test, e.recipients, e.audience, e.cast_at,
    e.cast_size, e.local_at, e.spread_s, e.per_hour
FROM (
    SELECT *
    FROM execution
    WHERE state = 'queued' AND awaits_cast AND casts_alone AND paused_at IS NULL
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    ORDER BY lane, status_at, id
    OFFSET 0
) e
WHERE pg_try_advisory_xact_lock(hashtextextended('cast', hashtextextended(e.id::text, 0)))
LIMIT 1

-- name: is_uncast
-- Asked under the lock: whoever had it before may have made the cast.
SELECT EXISTS (
    SELECT FROM execution WHERE id = :execution_id AND brand_id = :brand_id AND state = 'queued' AND awaits_cast
)

-- name: cast_made
UPDATE execution
SET awaits_cast = false, topic_id = :topic_id, cast_at = :cast_at, cast_size = :people
WHERE id = :execution_id AND brand_id = :brand_id AND state = 'queued' AND awaits_cast

-- name: cast_at
SELECT cast_at FROM execution WHERE id = :execution_id AND brand_id = :brand_id

-- name: start_planning
UPDATE execution
SET state = 'planning', topic_id = :topic_id, slices_left = :slices, status_at = :now
WHERE id = :execution_id AND brand_id = :brand_id

-- name: slice_planned
UPDATE slice SET planned_at = :now WHERE execution_id = :execution_id AND number = :number AND brand_id = :brand_id

-- name: advance_planning
-- Taken last in a slice's transaction, because its row lock makes planners of one execution wait for each other.
UPDATE execution
SET slices_left = slices_left - 1,
    audience_size = audience_size + :people,
    state = CASE WHEN slices_left = 1 AND state = 'planning' THEN 'sending' ELSE state END,
    status_at = CASE WHEN slices_left = 1 AND state = 'planning' THEN :now ELSE status_at END,
    published_at = CASE WHEN slices_left = 1 AND state = 'planning' THEN :now ELSE published_at END,
    -- The last slice of one that was cancelled meanwhile has people to be skipped, whatever had ended by then.
    ended_at = NULL
WHERE id = :execution_id AND brand_id = :brand_id
RETURNING state

-- name: publish_small
-- Executions whose one slice was planned together with others in this transaction.
UPDATE execution e
SET state = 'sending', topic_id = v.topic_id, audience_size = v.people, status_at = :now, published_at = :now
FROM unnest(:execution_ids::uuid[], :topic_ids::uuid[], :people::integer[]) AS v (id, topic_id, people)
WHERE e.id = v.id AND e.brand_id = :brand_id

-- name: fail
-- Only before it is published: another planner may have finished it meanwhile, or somebody cancelled it.
UPDATE execution
SET state = 'failed', error_code = :error_code, error_message = :error_message, paused_at = NULL, status_at = :now
WHERE id = :execution_id AND brand_id = :brand_id AND state IN ('queued', 'planning')

-- name: insert_chunks
-- Due at once, or when their quiet hours are over. What a service pulls is parked until it was.
INSERT INTO chunk (execution_id, number, brand_id, sender_id, channel, lane, key_from, key_to, sends, due_at, parked, pulled)
SELECT c.execution_id, c.number, :brand_id, c.sender_id, c.channel, c.lane, c.key_from, c.key_to, c.sends,
    greatest(:now, c.due_at), c.pulled, c.pulled
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :sender_ids::uuid[], :channels::smallint[], :lanes::smallint[],
        :keys_from::uuid[], :keys_to::uuid[], :sends::integer[], :due_at::timestamptz[], :pulled::boolean[]
    ) AS c (execution_id, number, sender_id, channel, lane, key_from, key_to, sends, due_at, pulled)

-- name: start_due
-- all brands: the keeper's sweep over executions whose time has come.
-- What a long outage kept from starting is not sent late in silence.
UPDATE execution e
SET state = CASE WHEN d.is_late THEN 'failed' ELSE 'queued' END,
    error_code = CASE WHEN d.is_late THEN 'DEADLINE' END,
    error_message = CASE WHEN d.is_late THEN 'It could not be started at its start_at, nor within an hour of it.' END,
    status_at = :now
FROM (
    SELECT id, start_at < :now - :grace::interval AS is_late
    FROM execution
    WHERE state = 'scheduled' AND start_at <= :now AND paused_at IS NULL
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    ORDER BY start_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
) d
WHERE e.id = d.id

-- name: fail_expired
-- all brands: the keeper's sweep over executions of which nobody was planned by their deadline.
-- One that is being planned goes on, so that everybody who is left is skipped and counted.
UPDATE execution
SET state = 'failed', error_code = 'DEADLINE', error_message = 'The deadline passed before anybody was planned.',
    paused_at = NULL, status_at = :now
WHERE deadline_at <= :now AND state IN ('scheduled', 'queued')

-- name: wake_expired
-- all brands: the keeper's sweep over executions that are past their deadline.
UPDATE execution
SET paused_at = NULL
WHERE deadline_at <= :now AND state IN ('planning', 'sending') AND paused_at IS NOT NULL

-- name: hasten_expired
-- all brands: the keeper's sweep over executions that are past their deadline.
-- What waits for a retry is due now, so that a worker's guard settles it as skipped, and what nobody pulled is let go for that.
UPDATE chunk c
SET due_at = :now, parked = c.parked AND NOT c.pulled, pulled = false
FROM (
    SELECT w.execution_id, w.number
    FROM execution e
    JOIN chunk w ON w.execution_id = e.id
    WHERE e.deadline_at <= :now AND e.state IN ('planning', 'sending') AND w.done_at IS NULL AND (w.due_at > :now OR w.pulled)
        AND NOT (w.pulled AND pages_under_way(w.execution_id, :now))
    ORDER BY w.execution_id, w.number
    LIMIT :limit
    FOR UPDATE OF w SKIP LOCKED
) w
WHERE c.execution_id = w.execution_id AND c.number = w.number

-- name: hasten_over
-- all brands: the keeper's sweep over executions that were cancelled or failed.
-- What waits for a retry, for the morning or to be pulled is due now, also what a worker put off in the moment of the cancellation.
UPDATE chunk c
SET due_at = :now, parked = c.parked AND NOT c.pulled, pulled = false
FROM (
    SELECT w.execution_id, w.number
    FROM execution e
    JOIN chunk w ON w.execution_id = e.id
    WHERE e.state IN ('cancelled', 'failed') AND e.ended_at IS NULL AND w.done_at IS NULL AND (w.due_at > :now OR w.pulled)
        AND NOT (w.pulled AND pages_under_way(w.execution_id, :now))
    ORDER BY w.execution_id, w.number
    LIMIT :limit
    FOR UPDATE OF w SKIP LOCKED
) w
WHERE c.execution_id = w.execution_id AND c.number = w.number

-- name: find
SELECT id, brand_id, publication_id, generator_id, topic_key, topic_id, context, lane, is_test, recipients, campaign_id, audience, cast_at,
    cast_size, local_at, spread_s, per_hour, parent_id, step, triggered_by, request_id, state,
    audience_size, error_code, error_message, created_at, start_at, schedule_id, occurrence_at, status_at, published_at,
    paused_at, restored_at, cancelled_at, ended_at
FROM execution
WHERE id = :execution_id AND brand_id = :brand_id

-- name: origin
-- all brands: the id comes out of a link that we signed, which is all that its reader has.
SELECT e.brand_id, e.topic_id, coalesce(c.name, '') AS campaign, coalesce(p.is_test_send, false) AS is_test_send
FROM execution e
LEFT JOIN publication p ON p.id = e.publication_id
LEFT JOIN campaign c ON c.id = p.campaign_id
WHERE e.id = :execution_id

-- name: page
-- Of a campaign those that it ran itself, and those of its event generators and steps: all that were published of it.
SELECT id, brand_id, publication_id, generator_id, topic_key, topic_id, context, lane, is_test, recipients, campaign_id, audience, cast_at,
    cast_size, local_at, spread_s, per_hour, parent_id, step, triggered_by, request_id, state,
    audience_size, error_code, error_message, created_at, start_at, schedule_id, occurrence_at, status_at, published_at,
    paused_at, restored_at, cancelled_at, ended_at
FROM execution
WHERE brand_id = :brand_id AND (:before::uuid IS NULL OR id < :before)
    AND (:states::text[] IS NULL OR state = ANY(:states))
    AND (:triggered_by::text IS NULL OR strpos(lower(triggered_by), lower(:triggered_by)) > 0)
    AND (
        :campaign_id::uuid IS NULL
        OR publication_id IN (SELECT p.id FROM publication p WHERE p.campaign_id = :campaign_id AND p.brand_id = :brand_id)
    )
ORDER BY id DESC
LIMIT :limit

-- name: contexts
-- Whom it means is fixed by its call, by its cast, or when the last slice of its topic is planned. A step of a run whose call named
-- its recipients says what that said.
SELECT e.id, CASE WHEN r.recipients > 0 THEN r.context ELSE e.context END, e.publication_id, e.topic_id, e.is_test,
    CASE WHEN e.recipients > 0 THEN e.id WHEN r.recipients > 0 THEN r.id END, e.per_hour,
    CASE WHEN e.recipients > 0 THEN e.created_at ELSE coalesce(e.cast_at, e.published_at) END
FROM execution e
LEFT JOIN execution r ON r.id = e.parent_id AND e.step > 0 AND r.brand_id = :brand_id
WHERE e.id = ANY(:execution_ids) AND e.brand_id = :brand_id

-- name: pause
UPDATE execution
SET paused_at = :now
WHERE id = :execution_id AND brand_id = :brand_id AND paused_at IS NULL AND state IN ('scheduled', 'queued', 'planning', 'sending')

-- name: resume
-- Whoever resumes what was to start meanwhile wants it to start now.
UPDATE execution
SET paused_at = NULL, start_at = CASE WHEN state = 'scheduled' THEN greatest(start_at, :now) ELSE start_at END
WHERE id = :execution_id AND brand_id = :brand_id AND paused_at IS NOT NULL AND state IN ('scheduled', 'queued', 'planning', 'sending')

-- name: cancel
-- A pause ends with it, so that what is left is settled as skipped; what was published stays published for whoever polls.
UPDATE execution
SET state = 'cancelled', cancelled_at = :now, paused_at = NULL,
    error_code = CASE WHEN published_at IS NULL THEN 'CANCELLED' END,
    error_message = CASE WHEN published_at IS NULL THEN 'The execution was cancelled before it was published.' END,
    status_at = CASE WHEN published_at IS NULL THEN :now ELSE status_at END
WHERE id = :execution_id AND brand_id = :brand_id AND state IN ('scheduled', 'queued', 'planning', 'sending')

-- name: hurry
-- Whose page was sent is handed over first; the keeper's sweep lets go of the others then.
-- In the order of their key, as everybody locks several chunks. What was let go is due no earlier than now: who claims looks
-- from a floor on, which what is parked does not keep down.
UPDATE chunk c
SET due_at = :now, parked = c.parked AND NOT c.pulled, pulled = false
FROM (
    SELECT number FROM chunk
    WHERE execution_id = :execution_id AND brand_id = :brand_id AND done_at IS NULL AND (due_at > :now OR pulled)
        AND NOT (pulled AND pages_under_way(execution_id, :now))
    ORDER BY number
    FOR UPDATE
) later
WHERE c.execution_id = :execution_id AND c.number = later.number AND c.brand_id = :brand_id
