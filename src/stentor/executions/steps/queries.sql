-- Who waits for which step, when they fall due, and what came of it. A run is an execution of a campaign's first step.

-- name: begin
-- Executions that something follows, in the transaction that plans them: from now on it is looked through who was handed over.
INSERT INTO stepping (execution_id, brand_id)
SELECT e.id, e.brand_id FROM execution e WHERE e.id = ANY(:execution_ids) AND e.brand_id = :brand_id AND e.step = 0
ON CONFLICT (execution_id) DO NOTHING

-- name: begin_sources
INSERT INTO step_source (execution_id, run_id, brand_id, step, wait_s, look_at)
SELECT e.id, s.execution_id, e.brand_id, e.step + 1, :wait_s, :now
FROM execution e
JOIN stepping s ON s.execution_id = CASE WHEN e.step = 0 THEN e.id ELSE e.parent_id END AND s.cancelled_at IS NULL
WHERE e.id = ANY(:execution_ids) AND e.brand_id = :brand_id AND s.brand_id = :brand_id
ON CONFLICT (execution_id) DO NOTHING

-- name: claim_sources
-- all brands: the keeper looks through whatever has waited longest, each row with its brand.
SELECT f.execution_id, f.run_id, f.brand_id, f.step, f.wait_s, f.remedies, e.remedies AS ordered, e.ended_at IS NOT NULL AS is_over,
    (SELECT count(*)::integer FROM step_turn t WHERE t.run_id = f.run_id AND t.step = f.step) AS turns
FROM step_source f
JOIN execution e ON e.id = f.execution_id
WHERE f.done_at IS NULL AND f.look_at <= :now AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY f.look_at, f.execution_id
LIMIT :limit
FOR UPDATE OF f SKIP LOCKED

-- name: unseen
-- Chunks of which something was settled since they were looked at. Under a limit per hour, or of a slow sender, a chunk takes
-- hours, and is looked at as it goes; one that nobody claimed yet has no waves to ask for.
SELECT c.execution_id, c.number, c.channel, c.key_from, c.key_to, c.sends, coalesce(c.done_at, w.settled_at) AS settled_at
FROM chunk c
LEFT JOIN LATERAL (
    SELECT max(v.settled_at) AS settled_at
    FROM wave v
    WHERE v.execution_id = c.execution_id AND v.chunk = c.number AND v.brand_id = :brand_id
) w ON c.done_at IS NULL AND c.epoch > 0
LEFT JOIN step_chunk f ON f.execution_id = c.execution_id AND f.number = c.number AND f.brand_id = :brand_id
WHERE c.execution_id = ANY(:execution_ids) AND c.brand_id = :brand_id AND coalesce(c.done_at, w.settled_at) IS NOT NULL
    AND f.done_at IS DISTINCT FROM coalesce(c.done_at, w.settled_at)
ORDER BY c.execution_id, c.number
LIMIT :limit

-- name: write_waits
-- Who was handed over waits from then on, once for each step; of several messages the first one that was seen counts. People
-- fall due together, at the next full multiple of their grain, and never at a moment that is over.
INSERT INTO step_wait (execution_id, customer_id, brand_id, source_id, due_at, since, part, step)
SELECT w.run_id, s.customer_id, s.brand_id, s.execution_id,
    to_timestamp(ceil(extract(epoch FROM greatest(
        s.decided_at + make_interval(secs => w.wait_s), :now + make_interval(secs => :margin_s)
    )) / w.grain_s) * w.grain_s),
    s.decided_at, s.part, w.step
FROM unnest(
        :run_ids::uuid[], :execution_ids::uuid[], :steps::smallint[], :waits_s::integer[], :grains_s::integer[], :numbers::integer[],
        :channels::smallint[], :keys_from::uuid[], :keys_to::uuid[], :parts_from::smallint[], :parts_to::smallint[]
    ) AS w (run_id, execution_id, step, wait_s, grain_s, number, channel, key_from, key_to, part_from, part_to)
JOIN send s ON s.execution_id = w.execution_id AND s.part BETWEEN w.part_from AND w.part_to
    AND s.customer_id BETWEEN w.key_from AND w.key_to AND s.chunk = w.number AND s.channel = w.channel
WHERE s.brand_id = :brand_id AND s.state = 2
ORDER BY w.run_id, w.step, s.part, s.customer_id, s.decided_at
ON CONFLICT (execution_id, step, part, customer_id) DO NOTHING
RETURNING execution_id, step, due_at

-- name: add_to_turns
-- A turn that was started meanwhile takes nobody more, and is not answered.
INSERT INTO step_turn AS t (run_id, step, due_at, brand_id, people)
SELECT n.run_id, n.step, n.due_at, :brand_id, n.people
FROM unnest(:run_ids::uuid[], :steps::smallint[], :dues_at::timestamptz[], :people::integer[]) AS n (run_id, step, due_at, people)
ORDER BY n.run_id, n.step, n.due_at
ON CONFLICT (run_id, step, due_at) DO UPDATE SET people = t.people + excluded.people
WHERE t.started_at IS NULL
RETURNING t.due_at

-- name: note_chunks
INSERT INTO step_chunk (execution_id, number, brand_id, done_at)
SELECT c.execution_id, c.number, :brand_id, c.settled_at
FROM unnest(:execution_ids::uuid[], :numbers::integer[], :settled_at::timestamptz[]) AS c (execution_id, number, settled_at)
ON CONFLICT (execution_id, number) DO UPDATE SET done_at = excluded.done_at

-- name: look_again
-- Once more from the beginning: what was in doubt is perhaps handed over now, where no chunk was opened.
DELETE FROM step_chunk WHERE execution_id = ANY(:execution_ids) AND brand_id = :brand_id

-- name: looked_at
-- A remedy that was ordered after the row was read, and before it was locked, is seen here.
UPDATE step_source f
SET look_at = :now + make_interval(secs => n.rest_s), remedies = n.remedies,
    done_at = CASE WHEN n.is_done AND e.ended_at IS NOT NULL AND e.remedies = n.remedies THEN :now END
FROM unnest(:execution_ids::uuid[], :rests_s::integer[], :remedies::integer[], :done::boolean[]) AS n (execution_id, rest_s, remedies, is_done)
JOIN execution e ON e.id = n.execution_id
WHERE f.execution_id = n.execution_id AND f.brand_id = :brand_id AND e.brand_id = :brand_id

-- name: look_through_anew
-- What had ended has something to do again, by a remedy. Done or not: a keeper that takes its last look now has the row locked,
-- is waited for, and does not have the last word.
UPDATE step_source SET done_at = NULL, look_at = :now WHERE execution_id = :execution_id AND brand_id = :brand_id
    AND NOT EXISTS (SELECT FROM stepping s WHERE s.execution_id = run_id AND s.brand_id = :brand_id AND s.cancelled_at IS NOT NULL)

-- name: open_anew
-- Ended or not: a keeper that ends it now has the row locked, and is waited for.
UPDATE stepping SET ended_at = NULL
WHERE brand_id = :brand_id AND cancelled_at IS NULL
    AND execution_id = (
        SELECT CASE WHEN e.step = 0 THEN e.id ELSE e.parent_id END
        FROM execution e
        WHERE e.id = :execution_id AND e.brand_id = :brand_id
    )

-- name: claim_turns
-- all brands: the keeper starts whatever fell due first, each row with its brand.
-- A run's own pause holds its steps, and so does theirs. A run stays as it is until they are started.
SELECT t.run_id, t.step, t.due_at, t.brand_id, e.publication_id
FROM step_turn t
JOIN stepping s ON s.execution_id = t.run_id
JOIN execution e ON e.id = t.run_id
WHERE t.started_at IS NULL AND t.dropped_at IS NULL AND t.parked_at IS NULL AND t.due_at <= :now
    AND s.paused_at IS NULL AND s.cancelled_at IS NULL AND e.paused_at IS NULL
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY t.due_at, t.run_id, t.step
LIMIT :limit
FOR UPDATE OF t SKIP LOCKED
FOR SHARE OF s SKIP LOCKED

-- name: start_executions
-- all brands: of turns that the keeper holds locked, each with its brand.
-- What the call said of each recipient alone is read where it was kept, with what it said of all of them.
INSERT INTO execution (id, brand_id, publication_id, generator_id, topic_key, topic_id, campaign_id, audience, awaits_cast, context, lane,
    is_test, triggered_by, state, parent_id, step, per_hour, created_at, status_at, deadline_at)
SELECT n.id, e.brand_id, n.publication_id, e.generator_id, e.topic_key, e.topic_id, e.campaign_id,
    jsonb_build_object('kind', 'step', 'run_id', e.id, 'step', n.step, 'due_at', n.due_at), true,
    CASE WHEN e.recipients > 0 THEN '{}' ELSE e.context END, e.lane, e.is_test, e.triggered_by, 'queued', e.id, n.step, e.per_hour, :now, :now,
    :now + make_interval(secs => n.deadline_s)
FROM unnest(
        :ids::uuid[], :run_ids::uuid[], :steps::smallint[], :dues_at::timestamptz[], :publication_ids::uuid[],
        :deadlines_s::double precision[]
    ) AS n (id, run_id, step, due_at, publication_id, deadline_s)
JOIN execution e ON e.id = n.run_id

-- name: turns_started
-- all brands: turns that the keeper holds locked.
UPDATE step_turn t
SET execution_id = n.id, started_at = :now
FROM unnest(:ids::uuid[], :run_ids::uuid[], :steps::smallint[], :dues_at::timestamptz[]) AS n (id, run_id, step, due_at)
WHERE t.run_id = n.run_id AND t.step = n.step AND t.due_at = n.due_at

-- name: note_exits
UPDATE step_turn
SET gone = :gone, opted_out = :opted_out, unmet = :unmet
WHERE execution_id = :execution_id AND brand_id = :brand_id
RETURNING people

-- name: park_turns
-- all brands: the keeper sets aside what fell due while the steps are paused, and does not meet it each second. Whoever resumes them
-- has their row locked, and is passed over.
UPDATE step_turn t
SET parked_at = :now
FROM (
    SELECT o.run_id, o.step, o.due_at
    FROM step_turn o
    JOIN stepping s ON s.execution_id = o.run_id
    WHERE o.started_at IS NULL AND o.dropped_at IS NULL AND o.parked_at IS NULL AND o.due_at <= :now AND s.paused_at IS NOT NULL
    ORDER BY o.due_at, o.run_id, o.step
    LIMIT :limit
    FOR UPDATE OF o SKIP LOCKED
    FOR SHARE OF s SKIP LOCKED
) p
WHERE t.run_id = p.run_id AND t.step = p.step AND t.due_at = p.due_at

-- name: lock_over
-- all brands: the keeper's sweep over runs whose steps are over; of all runs, or of those that are named.
SELECT o.execution_id
FROM stepping o
WHERE o.ended_at IS NULL AND (:run_ids::uuid[] IS NULL OR o.execution_id = ANY(:run_ids))
    AND NOT EXISTS (SELECT FROM step_source f WHERE f.run_id = o.execution_id AND f.done_at IS NULL)
    AND (o.cancelled_at IS NOT NULL OR NOT EXISTS (
        SELECT FROM step_turn t WHERE t.run_id = o.execution_id AND t.started_at IS NULL
    ))
    AND NOT EXISTS (SELECT FROM execution e WHERE e.parent_id = o.execution_id AND e.step > 0 AND e.ended_at IS NULL)
ORDER BY o.execution_id
LIMIT :limit
FOR UPDATE OF o SKIP LOCKED

-- name: end_steppings
-- all brands: those that were found to be over while they were locked.
UPDATE stepping SET ended_at = :now WHERE execution_id = ANY(:run_ids)

-- name: pause
UPDATE stepping
SET paused_at = :now
WHERE execution_id = :execution_id AND brand_id = :brand_id AND paused_at IS NULL AND cancelled_at IS NULL AND ended_at IS NULL

-- name: resume
-- Also where they ended while they were paused: an experiment of the run waits for it.
UPDATE stepping SET paused_at = NULL WHERE execution_id = :execution_id AND brand_id = :brand_id AND paused_at IS NOT NULL

-- name: cancel
UPDATE stepping
SET cancelled_at = :now, paused_at = NULL
WHERE execution_id = :execution_id AND brand_id = :brand_id AND cancelled_at IS NULL AND ended_at IS NULL

-- name: take_up_turns
UPDATE step_turn SET parked_at = NULL WHERE run_id = :execution_id AND brand_id = :brand_id AND parked_at IS NOT NULL

-- name: stop_looking
UPDATE step_source SET done_at = :now WHERE run_id = :execution_id AND brand_id = :brand_id AND done_at IS NULL

-- name: drop_turns
-- Out of what the keeper looks through each second, until their run leaves history.
UPDATE step_turn SET dropped_at = :now WHERE run_id = :execution_id AND brand_id = :brand_id AND started_at IS NULL AND dropped_at IS NULL

-- name: under_way
SELECT id
FROM execution
WHERE parent_id = :execution_id AND brand_id = :brand_id AND step > 0 AND state IN ('queued', 'planning', 'sending')
ORDER BY id

-- name: find
SELECT paused_at, cancelled_at, ended_at FROM stepping WHERE execution_id = :execution_id AND brand_id = :brand_id

-- name: sums
-- For each step: who came to wait for it, and where they are. Who is in a cast is counted by it, and without one nobody left yet.
SELECT t.step,
    sum(t.people)::integer AS handed_over,
    coalesce(sum(t.people) FILTER (WHERE t.started_at IS NULL OR e.cast_size IS NULL AND e.state = 'queued'), 0)::integer AS waiting,
    min(t.due_at) FILTER (WHERE t.started_at IS NULL) AS due_next_at,
    coalesce(sum(e.cast_size), 0)::integer AS went_on,
    coalesce(sum(t.gone), 0)::integer AS gone,
    coalesce(sum(t.opted_out), 0)::integer AS opted_out,
    coalesce(sum(t.unmet), 0)::integer AS unmet,
    coalesce(sum(t.people) FILTER (WHERE e.cast_size IS NULL AND e.state IN ('cancelled', 'failed')), 0)::integer AS dropped
FROM step_turn t
LEFT JOIN execution e ON e.id = t.execution_id AND e.brand_id = :brand_id
WHERE t.run_id = :execution_id AND t.brand_id = :brand_id
GROUP BY t.step
ORDER BY t.step

-- name: executions
-- The newest of each step.
SELECT n.step, e.id, n.due_at, n.people, e.cast_size, e.state, n.started_at
FROM (
    SELECT t.step, t.execution_id, t.due_at, t.people, t.started_at, row_number() OVER (PARTITION BY t.step ORDER BY t.due_at DESC) AS place
    FROM step_turn t
    WHERE t.run_id = :execution_id AND t.brand_id = :brand_id AND t.started_at IS NOT NULL
) n
JOIN execution e ON e.id = n.execution_id AND e.brand_id = :brand_id
WHERE n.place <= :limit
ORDER BY n.step, n.due_at DESC

-- name: wait_of
SELECT due_at, since, source_id
FROM step_wait
WHERE execution_id = :execution_id AND step = :step AND part = :part AND customer_id = :customer_id AND brand_id = :brand_id
