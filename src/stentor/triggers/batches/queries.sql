-- Batches, and the executions that run campaigns for them.

-- name: insert_batch
-- Answers as `find_batch` would: its execution, if it has one, was written before it.
INSERT INTO batch (id, brand_id, kind, tag_id, campaign_id, campaign_name, start_at, schedule_id, scheduled_at, execution_id,
    profiles, is_test, made_by, created_at, updated_at)
VALUES (:id, :brand_id, :kind, :tag_id, :campaign_id, :campaign_name, :start_at, :schedule_id,
    CASE WHEN :start_at::timestamptz IS NOT NULL THEN :now END, :execution_id, :profiles, :is_test, :made_by, :now, :now)
RETURNING id, kind, tag_id, campaign_id, campaign_name, start_at, schedule_id, scheduled_at, execution_id, profiles, is_test,
    created_at, updated_at,
    (SELECT e.state FROM execution e WHERE e.id = batch.execution_id AND e.brand_id = :brand_id) AS state, false AS is_paused,
    (SELECT j.state FROM import_job j WHERE j.id = batch.id AND j.brand_id = :brand_id) AS import_state

-- name: drop_waiting
-- Another one takes its place; it has no people and no sends yet. None where it has begun meanwhile, or is paused: the other one
-- would not be.
DELETE FROM execution WHERE id = :id AND brand_id = :brand_id AND state = 'scheduled' AND paused_at IS NULL

-- name: find_batch
SELECT b.id, b.kind, b.tag_id, b.campaign_id, b.campaign_name, b.start_at, b.schedule_id, b.scheduled_at, b.execution_id,
    b.profiles, b.is_test, b.created_at, b.updated_at, e.state,
    e.paused_at IS NOT NULL AS is_paused, j.state AS import_state
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
LEFT JOIN import_job j ON j.id = b.id AND j.brand_id = b.brand_id
WHERE b.id = :id AND b.brand_id = :brand_id

-- name: find_by_schedule
SELECT b.id, b.kind, b.tag_id, b.campaign_id, b.campaign_name, b.start_at, b.schedule_id, b.scheduled_at, b.execution_id,
    b.profiles, b.is_test, b.created_at, b.updated_at, e.state,
    e.paused_at IS NOT NULL AS is_paused, j.state AS import_state
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
LEFT JOIN import_job j ON j.id = b.id AND j.brand_id = b.brand_id
WHERE b.schedule_id = :schedule_id AND b.brand_id = :brand_id

-- name: occurrence_of_schedule
-- What came of its one time: nothing before that, and nothing where it was cancelled by then. A start that was more than an hour
-- late is one that was missed.
SELECT b.start_at AS due_at, b.start_at AT TIME ZONE 'UTC' AS local_at, v.outcome,
    CASE v.outcome WHEN 'missed' THEN 'late' END AS reason, CASE v.outcome WHEN 'missed' THEN e.error_message END AS message,
    b.execution_id, e.state AS execution_state, e.error_code,
    CASE v.outcome WHEN 'missed' THEN e.status_at ELSE greatest(b.start_at, e.created_at) END AS decided_at
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN e.state = 'failed' AND e.error_code = 'DEADLINE' AND e.status_at > e.start_at + :grace::interval THEN 'missed'
        ELSE 'started'
    END AS outcome
) v
WHERE b.schedule_id = :schedule_id AND b.brand_id = :brand_id AND b.execution_id IS NOT NULL
    AND (e.state IS NULL OR e.state <> 'scheduled') AND (e.cancelled_at IS NULL OR e.cancelled_at >= coalesce(e.start_at, e.created_at))
    AND (:before::timestamptz IS NULL OR b.start_at < :before)

-- name: lock_batch
SELECT id FROM batch WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: page_of_batches
-- The newest first.
SELECT b.id, b.kind, b.tag_id, b.campaign_id, b.campaign_name, b.start_at, b.schedule_id, b.scheduled_at, b.execution_id,
    b.profiles, b.is_test, b.created_at, b.updated_at, e.state,
    e.paused_at IS NOT NULL AS is_paused, j.state AS import_state
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
LEFT JOIN import_job j ON j.id = b.id AND j.brand_id = b.brand_id
WHERE b.brand_id = :brand_id AND (:before::uuid IS NULL OR b.id < :before::uuid)
ORDER BY b.brand_id DESC, b.id DESC
LIMIT :limit

-- name: count_batches
SELECT count(*) FROM (SELECT FROM batch WHERE brand_id = :brand_id LIMIT :most) b

-- name: count_schedules
SELECT count(*) FROM (SELECT FROM batch WHERE brand_id = :brand_id AND schedule_id IS NOT NULL LIMIT :most) b

-- name: page_of_schedules
-- Those of batches, in the order of their making.
SELECT b.id, b.kind, b.tag_id, b.campaign_id, b.campaign_name, b.start_at, b.schedule_id, b.scheduled_at, b.execution_id,
    b.profiles, b.is_test, b.created_at, b.updated_at, e.state,
    e.paused_at IS NOT NULL AS is_paused, j.state AS import_state
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
LEFT JOIN import_job j ON j.id = b.id AND j.brand_id = b.brand_id
WHERE b.brand_id = :brand_id AND b.schedule_id IS NOT NULL AND (:after::uuid IS NULL OR b.schedule_id > :after::uuid)
ORDER BY b.brand_id, b.schedule_id
LIMIT :limit

-- name: reschedule
UPDATE batch
SET campaign_id = :campaign_id, campaign_name = :campaign_name, start_at = :start_at, execution_id = :execution_id,
    scheduled_at = :now, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: touch_schedule
UPDATE batch SET scheduled_at = :now, updated_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: end_stream
UPDATE batch SET profiles = :profiles, execution_id = :execution_id, updated_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: waiting_for_tag
-- Whether a campaign is still to be run for the people of the tag.
SELECT true
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
LEFT JOIN import_job j ON j.id = b.id AND j.brand_id = b.brand_id
WHERE b.tag_id = :tag_id AND b.brand_id = :brand_id
    AND (e.state IN ('scheduled', 'queued') OR (b.execution_id IS NULL AND b.schedule_id IS NOT NULL AND j.state = 'running'))
LIMIT 1
