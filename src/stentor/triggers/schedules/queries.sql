-- name: count_schedules
SELECT count(*), :now FROM schedule WHERE brand_id = :brand_id

-- name: insert_schedule
-- Does nothing when the name is taken, which the caller sees by the count.
INSERT INTO schedule (id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s,
    enabled, seen_local, seen_at, next_local, next_at, created_at, updated_at)
VALUES (:id, :brand_id, :name, :generator_id, :topic_key, :context, :is_test, :time_zone, :at, :cron, :misfire_grace_s,
    :enabled, :seen_local, :seen_at, :next_local, :next_at, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: find_schedule
SELECT id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s, enabled,
    seen_local, seen_at, next_at, created_at, updated_at
FROM schedule
WHERE id = :id AND brand_id = :brand_id

-- name: lock_schedule
SELECT id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s, enabled,
    seen_local, seen_at, next_at, created_at, updated_at, :now AS now
FROM schedule
WHERE id = :id AND brand_id = :brand_id
FOR UPDATE

-- name: page_of_schedules
SELECT id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s, enabled,
    seen_local, seen_at, next_at, created_at, updated_at
FROM schedule
WHERE brand_id = :brand_id AND (:after::uuid IS NULL OR id > :after)
ORDER BY id
LIMIT :limit

-- name: update_schedule
UPDATE schedule
SET name = :name, generator_id = :generator_id, topic_key = :topic_key, context = :context, time_zone = :time_zone,
    at = :at, cron = :cron, misfire_grace_s = :misfire_grace_s, enabled = :enabled, seen_local = :seen_local,
    seen_at = :seen_at, next_local = :next_local, next_at = :next_at, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: delete_schedule
DELETE FROM schedule WHERE id = :id AND brand_id = :brand_id

-- name: page_of_occurrences
SELECT o.due_at, o.local_at, o.outcome, o.reason, o.message, o.execution_id, e.state AS execution_state, e.error_code,
    o.decided_at
FROM occurrence o
LEFT JOIN execution e ON e.id = o.execution_id AND e.brand_id = o.brand_id
WHERE o.schedule_id = :schedule_id AND o.brand_id = :brand_id
    AND (:before::timestamptz IS NULL OR o.due_at < :before)
ORDER BY o.due_at DESC
LIMIT :limit

-- name: due_schedules
-- all brands: the keeper's sweep over what the clock has come to.
SELECT id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s, enabled,
    seen_local, seen_at, next_at, created_at, updated_at
FROM schedule
WHERE next_at <= :now
ORDER BY next_at, id
LIMIT :limit

-- name: lock_due
-- None where another keeper holds it, or has decided it meanwhile, or somebody has edited it. What was due until silent_until
-- was due while a restored copy was paused, or before it was restored.
SELECT id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s, enabled,
    seen_local, seen_at, next_at, created_at, updated_at, :now AS now,
    (SELECT CASE WHEN paused_at IS NULL THEN resumed_at ELSE :now END FROM installation) AS silent_until
FROM schedule
WHERE id = :id AND brand_id = :brand_id AND next_at <= :now AND updated_at = :updated_at
FOR UPDATE SKIP LOCKED

-- name: start_occurrence
-- Asks the time again: a keeper that was frozen with the schedule locked must not start it late.
INSERT INTO execution (id, brand_id, publication_id, generator_id, topic_key, context, lane, is_test, triggered_by, state,
    schedule_id, occurrence_at, created_at, status_at, deadline_at)
SELECT :id, :brand_id, :publication_id, :generator_id, :topic_key, :context, :lane, :is_test, :triggered_by, 'queued',
    :schedule_id, :due_at, :now, :now, :now + make_interval(secs => :deadline_s::double precision)
WHERE :now <= :due_at::timestamptz + make_interval(secs => :misfire_grace_s)

-- name: insert_occurrences
INSERT INTO occurrence (schedule_id, due_at, brand_id, local_at, outcome, reason, message, execution_id, decided_at)
SELECT :schedule_id, o.due_at, :brand_id, o.local_at, o.outcome, o.reason, o.message, o.execution_id, :now
FROM unnest(
        :dues_at::timestamptz[], :locals_at::timestamp[], :outcomes::text[], :reasons::text[], :messages::text[],
        :execution_ids::uuid[]
    ) AS o (due_at, local_at, outcome, reason, message, execution_id)

-- name: forget_occurrences
DELETE FROM occurrence
WHERE schedule_id = :schedule_id AND brand_id = :brand_id AND due_at <= (
    SELECT o.due_at FROM occurrence o
    WHERE o.schedule_id = :schedule_id AND o.brand_id = :brand_id
    ORDER BY o.due_at DESC
    OFFSET :kept LIMIT 1
)

-- name: advance
UPDATE schedule
SET seen_local = :seen_local, seen_at = :seen_at, next_local = :next_local, next_at = :next_at
WHERE id = :id AND brand_id = :brand_id

-- name: schedules_to_come
-- all brands: the keeper works out anew when all of them are due.
SELECT id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, cron, misfire_grace_s, enabled,
    seen_local, seen_at, next_at, created_at, updated_at
FROM schedule
WHERE next_at IS NOT NULL AND (:after::uuid IS NULL OR id > :after)
ORDER BY id
LIMIT :limit

-- name: set_alarms
-- all brands: schedules whose next time was worked out anew, unless it was decided or edited meanwhile.
UPDATE schedule s
SET next_local = v.next_local, next_at = v.next_at
FROM unnest(
        :ids::uuid[], :seens_at::timestamptz[], :updates_at::timestamptz[], :nexts_local::timestamp[],
        :nexts_at::timestamptz[]
    ) AS v (id, seen_at, updated_at, next_local, next_at)
WHERE s.id = v.id AND s.seen_at = v.seen_at AND s.updated_at = v.updated_at
