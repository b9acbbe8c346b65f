-- name: count_schedules
SELECT count(*), :now FROM schedule WHERE brand_id = :brand_id

-- name: insert_schedule
-- Does nothing when the name is taken, which the caller sees by the count.
INSERT INTO schedule (id, brand_id, name, generator_id, topic_key, campaign_id, audience, in_their_zones, spread_s, per_hour, context,
    is_test, time_zone, at, cron, misfire_grace_s, enabled, seen_local, seen_at, next_local, next_at, created_at, updated_at)
VALUES (:id, :brand_id, :name, :generator_id, :topic_key, :campaign_id, :audience, :in_their_zones, :spread_s, :per_hour, :context,
    :is_test, :time_zone, :at, :cron, :misfire_grace_s, :enabled, :seen_local, :seen_at, :next_local, :next_at, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: find_schedule
SELECT id, brand_id, name, generator_id, topic_key, campaign_id, audience, in_their_zones, spread_s, per_hour, context, is_test, time_zone,
    at, cron, misfire_grace_s, enabled, seen_local, seen_at, next_at, created_at, updated_at, l.last_execution_id, l.last_state,
    (SELECT c.name FROM campaign c WHERE c.id = schedule.campaign_id AND c.brand_id = :brand_id) AS campaign_name
FROM schedule
LEFT JOIN LATERAL (
    SELECT e.id AS last_execution_id, e.state AS last_state
    FROM occurrence o
    JOIN execution e ON e.id = o.execution_id AND e.brand_id = :brand_id
    WHERE o.schedule_id = schedule.id AND o.brand_id = :brand_id AND o.execution_id IS NOT NULL
    ORDER BY o.due_at DESC
    LIMIT 1
) l ON true
WHERE id = :id AND brand_id = :brand_id

-- name: lock_schedule
SELECT id, brand_id, name, generator_id, topic_key, campaign_id, audience, in_their_zones, spread_s, per_hour, context, is_test, time_zone,
    at, cron, misfire_grace_s, enabled, seen_local, seen_at, next_at, created_at, updated_at, :now AS now
FROM schedule
WHERE id = :id AND brand_id = :brand_id
FOR UPDATE

-- name: page_of_schedules
SELECT id, brand_id, name, generator_id, topic_key, campaign_id, audience, in_their_zones, spread_s, per_hour, context, is_test, time_zone,
    at, cron, misfire_grace_s, enabled, seen_local, seen_at, next_at, created_at, updated_at, l.last_execution_id, l.last_state,
    (SELECT c.name FROM campaign c WHERE c.id = schedule.campaign_id AND c.brand_id = :brand_id) AS campaign_name
FROM schedule
LEFT JOIN LATERAL (
    SELECT e.id AS last_execution_id, e.state AS last_state
    FROM occurrence o
    JOIN execution e ON e.id = o.execution_id AND e.brand_id = :brand_id
    WHERE o.schedule_id = schedule.id AND o.brand_id = :brand_id AND o.execution_id IS NOT NULL
    ORDER BY o.due_at DESC
    LIMIT 1
) l ON true
WHERE brand_id = :brand_id AND (:after::uuid IS NULL OR id > :after)
ORDER BY id
LIMIT :limit

-- name: update_schedule
UPDATE schedule
SET name = :name, generator_id = :generator_id, topic_key = :topic_key, campaign_id = :campaign_id, audience = :audience,
    in_their_zones = :in_their_zones, spread_s = :spread_s, per_hour = :per_hour, context = :context, time_zone = :time_zone,
    at = :at, cron = :cron, misfire_grace_s = :misfire_grace_s, enabled = :enabled, seen_local = :seen_local,
    seen_at = :seen_at, next_local = :next_local, next_at = :next_at, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: disable_schedule
UPDATE schedule SET enabled = false, updated_at = :now WHERE id = :id AND brand_id = :brand_id

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
SELECT id, brand_id, name, generator_id, topic_key, campaign_id, audience, in_their_zones, spread_s, per_hour, context, is_test, time_zone,
    at, cron, misfire_grace_s, enabled, seen_local, seen_at, next_at, created_at, updated_at
FROM schedule
WHERE next_at <= :now
ORDER BY next_at, id
LIMIT :limit

-- name: lock_due
-- all brands: the schedules that the keeper's sweep found due.
-- Without those that another keeper holds, or has decided meanwhile, or that somebody has edited. What was due until silent_until
-- was due while a restored copy was paused, or before it was restored.
SELECT s.id, s.brand_id, s.name, s.generator_id, s.topic_key, s.campaign_id, s.audience, s.in_their_zones, s.spread_s, s.per_hour,
    s.context, s.is_test, s.time_zone, s.at, s.cron, s.misfire_grace_s, s.enabled, s.seen_local, s.seen_at, s.next_at, s.created_at,
    s.updated_at, :now AS now,
    (SELECT CASE WHEN paused_at IS NULL THEN resumed_at ELSE :now END FROM installation) AS silent_until
FROM unnest(:ids::uuid[], :updates_at::timestamptz[]) AS w (id, updated_at)
JOIN schedule s ON s.id = w.id AND s.updated_at = w.updated_at
WHERE s.next_at <= :now
ORDER BY s.next_at, s.id
FOR UPDATE OF s SKIP LOCKED

-- name: start_occurrences
-- all brands: those of schedules that the keeper holds locked, each with its brand.
-- Asks the time again: a keeper that was frozen with them locked must not start any late.
INSERT INTO execution (id, brand_id, publication_id, generator_id, topic_key, campaign_id, audience, awaits_cast, context, lane, is_test,
    triggered_by, state, schedule_id, occurrence_at, local_at, spread_s, per_hour, created_at, status_at, deadline_at)
SELECT c.id, c.brand_id, c.publication_id, c.generator_id, c.topic_key, c.campaign_id, c.audience, c.audience IS NOT NULL, c.context,
    c.lane, c.is_test, c.triggered_by, 'queued', o.schedule_id, o.due_at, CASE WHEN c.in_their_zones THEN o.local_at END, c.spread_s,
    c.per_hour, :now, :now, :now + make_interval(secs => c.deadline_s)
FROM jsonb_to_recordset(:occurring) AS o (
    start jsonb, schedule_id uuid, due_at timestamptz, local_at timestamp, misfire_grace_s integer
)
CROSS JOIN LATERAL jsonb_to_record(o.start) AS c (
    id uuid, brand_id uuid, publication_id uuid, generator_id text, topic_key text, campaign_id uuid, audience jsonb, context jsonb,
    lane smallint, is_test boolean, triggered_by text, deadline_s double precision, spread_s integer, per_hour integer,
    in_their_zones boolean
)
WHERE :now <= o.due_at + make_interval(secs => o.misfire_grace_s)
RETURNING id

-- name: insert_occurrences
-- all brands: those of schedules that the keeper holds locked, each with its brand.
INSERT INTO occurrence (schedule_id, due_at, brand_id, local_at, outcome, reason, message, execution_id, decided_at)
SELECT o.schedule_id, o.due_at, o.brand_id, o.local_at, o.outcome, o.reason, o.message, o.execution_id, :now
FROM unnest(
        :schedule_ids::uuid[], :brand_ids::uuid[], :dues_at::timestamptz[], :locals_at::timestamp[], :outcomes::text[],
        :reasons::text[], :messages::text[], :execution_ids::uuid[]
    ) AS o (schedule_id, brand_id, due_at, local_at, outcome, reason, message, execution_id)

-- name: forget_occurrences
-- all brands: those of schedules that the keeper holds locked.
DELETE FROM occurrence d
USING unnest(:ids::uuid[]) AS s (id)
WHERE d.schedule_id = s.id AND d.due_at <= (
    SELECT o.due_at FROM occurrence o
    WHERE o.schedule_id = s.id
    ORDER BY o.due_at DESC
    OFFSET :kept LIMIT 1
)

-- name: advance
-- all brands: schedules that the keeper holds locked.
UPDATE schedule s
SET seen_local = v.seen_local, seen_at = v.seen_at, next_local = v.next_local, next_at = v.next_at
FROM unnest(
        :ids::uuid[], :seens_local::timestamp[], :seens_at::timestamptz[], :nexts_local::timestamp[], :nexts_at::timestamptz[]
    ) AS v (id, seen_local, seen_at, next_local, next_at)
WHERE s.id = v.id

-- name: schedules_to_come
-- all brands: the keeper works out anew when all of them are due.
SELECT id, brand_id, name, generator_id, topic_key, campaign_id, audience, in_their_zones, spread_s, per_hour, context, is_test, time_zone,
    at, cron, misfire_grace_s, enabled, seen_local, seen_at, next_at, created_at, updated_at
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
