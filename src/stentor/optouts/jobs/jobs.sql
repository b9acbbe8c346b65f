-- name: insert_job
INSERT INTO optout_job (
    id, brand_id, list_id, kind, state, spec, asked_by, declared_bytes, encoding, created_at, upload_until, kept_until, ready_at
)
SELECT
    :id, :brand_id, :list_id, :kind, :state, :spec::text::jsonb, :asked_by, :declared_bytes, :encoding, :now,
    :now + :begins_within::interval, :now + :begins_within::interval,
    CASE WHEN :state::text = 'queued' THEN :now END

-- name: count_open
SELECT count(*) FROM optout_job WHERE brand_id = :brand_id AND state IN ('uploading', 'queued', 'running')

-- name: find_job
SELECT id, brand_id, list_id, kind, state, spec, asked_by, declared_bytes, received_bytes, encoding, created_at, upload_until,
    upload_epoch, ready_at, started_at, ended_at, kept_until, progress, submitted, added, duplicate, malformed, message, results,
    :now AS now
FROM optout_job
WHERE id = :id AND brand_id = :brand_id

-- name: lock_job
SELECT id, brand_id, list_id, kind, state, spec, asked_by, declared_bytes, received_bytes, encoding, created_at, upload_until,
    upload_epoch, ready_at, started_at, ended_at, kept_until, progress, submitted, added, duplicate, malformed, message, results,
    :now AS now
FROM optout_job
WHERE id = :id AND brand_id = :brand_id
FOR UPDATE

-- name: page_of_jobs
-- Newest first.
SELECT id, brand_id, list_id, kind, state, spec, asked_by, declared_bytes, received_bytes, encoding, created_at, upload_until,
    upload_epoch, ready_at, started_at, ended_at, kept_until, progress, submitted, added, duplicate, malformed, message, results,
    :now AS now
FROM optout_job
WHERE brand_id = :brand_id
    AND (:list_id::uuid IS NULL OR list_id = :list_id)
    AND (:kind::text IS NULL OR kind = :kind)
    AND (
        :before::uuid IS NULL
        OR (created_at, id) < (SELECT b.created_at, b.id FROM optout_job b WHERE b.id = :before AND b.brand_id = :brand_id)
    )
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: newest_of_command
-- What a command asked for that was killed. Those before it were given anew since.
SELECT id, brand_id, list_id, kind, state, spec, asked_by, declared_bytes, received_bytes, encoding, created_at, upload_until,
    upload_epoch, ready_at, started_at, ended_at, kept_until, progress, submitted, added, duplicate, malformed, message, results,
    :now AS now
FROM optout_job
WHERE brand_id = :brand_id AND spec ->> 'command' = :command
ORDER BY created_at DESC, id DESC
LIMIT 1

-- name: is_waiting
SELECT EXISTS (
    SELECT FROM optout_job
    WHERE id = :id AND brand_id = :brand_id AND (state = 'queued' OR state = 'running' AND claimed_until < :now)
)

-- name: remove_job
-- Whoever receives its file or works on it has lost it with the epoch. Its files are for the keeper to clear.
UPDATE optout_job
SET state = 'removed', ended_at = coalesce(ended_at, :now), kept_until = :now, message = :message, results = '{}',
    epoch = epoch + 1, upload_epoch = upload_epoch + 1, worker = '', claimed_until = NULL
WHERE id = :id AND brand_id = :brand_id

-- name: begin_upload
-- As long as its file comes it is kept for another day.
UPDATE optout_job
SET upload_epoch = upload_epoch + 1, received_bytes = :received_bytes, encoding = :encoding,
    declared_bytes = coalesce(declared_bytes, :declared_bytes), kept_until = :now + :kept::interval
WHERE id = :id AND brand_id = :brand_id
RETURNING upload_epoch

-- name: drop_parts
DELETE FROM optout_part WHERE job_id = :id AND brand_id = :brand_id RETURNING name

-- name: advance_upload
-- Nothing, where somebody else receives the file by now.
UPDATE optout_job
SET received_bytes = received_bytes + :bytes, kept_until = :now + :kept::interval
WHERE id = :id AND brand_id = :brand_id AND state = 'uploading' AND upload_epoch = :upload_epoch
    AND received_bytes = :start_byte

-- name: insert_part
INSERT INTO optout_part (job_id, start_byte, brand_id, name, bytes) VALUES (:id, :start_byte, :brand_id, :name, :bytes)

-- name: count_parts
SELECT count(*) FROM optout_part WHERE job_id = :id AND brand_id = :brand_id

-- name: parts
SELECT start_byte, name, bytes FROM optout_part WHERE job_id = :id AND brand_id = :brand_id ORDER BY start_byte

-- name: end_upload
UPDATE optout_job
SET state = :state, message = :message, ready_at = :now, ended_at = CASE WHEN :state::text = 'failed' THEN :now END,
    kept_until = CASE WHEN :state::text = 'failed' THEN :now END
WHERE id = :id AND brand_id = :brand_id AND state = 'uploading' AND upload_epoch = :upload_epoch

-- name: due
-- all brands: the keeper clears for all of them, and takes the brand from the row
-- What is no longer kept, and uploaded pieces that nobody will read again. In a restored copy that nobody has let go all of it
-- stays: its storage is perhaps that of the installation it was copied from.
SELECT id, brand_id
FROM optout_job j
WHERE (
        kept_until <= :now AND state NOT IN ('queued', 'running')
        OR state IN ('success', 'failed', 'removed') AND EXISTS (SELECT FROM optout_part p WHERE p.job_id = j.id)
    )
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY kept_until
LIMIT :limit

-- name: expire_job
-- A file that never came makes its job a removed one, and so does the end of an export's or a scrub's results.
UPDATE optout_job
SET state = CASE WHEN state = 'uploading' OR kind <> 'import' AND state = 'success' THEN 'removed' ELSE state END,
    message = CASE WHEN state = 'uploading' THEN :message ELSE message END,
    ended_at = coalesce(ended_at, :now),
    results = '{}',
    upload_epoch = upload_epoch + 1
WHERE id = :id AND brand_id = :brand_id AND kept_until <= :now AND state NOT IN ('queued', 'running')

-- name: cleared
UPDATE optout_job SET kept_until = NULL WHERE id = :id AND brand_id = :brand_id AND kept_until <= :now

-- name: forget_jobs
-- all brands: it forgets by age alone
DELETE FROM optout_job
WHERE id IN (
    SELECT id FROM optout_job
    WHERE ended_at < :now - :kept::interval AND kept_until IS NULL
    LIMIT :limit
)
