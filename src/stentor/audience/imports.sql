-- Imports: where each stands, and the lines that were not taken.

-- name: insert_job
INSERT INTO import_job (id, brand_id, kind, format, source, state, bytes_total, resume, created_at, updated_at)
VALUES (:id, :brand_id, :kind, :format, :source, 'running', :bytes_total, :resume::jsonb, :now, :now)

-- name: unfinished_job
-- The newest import of the same source that never came to its end. Sources are of any length, so that the index has hashes of them.
SELECT id
FROM import_job
WHERE brand_id = :brand_id AND kind = :kind AND format = :format AND source = :source
    AND hashtextextended(source, 0) = hashtextextended(:source, 0)
    AND bytes_total IS NOT DISTINCT FROM :bytes_total AND state = 'running'
ORDER BY id DESC
LIMIT 1

-- name: hold_source
-- Of those who begin the same stream at the same moment, each finds what the ones before it began.
SELECT pg_advisory_xact_lock(hashtextextended('stream ' || :source, hashtextextended((:brand_id)::uuid::text, 0)))

-- name: job_of_stream
-- The newest import that a stream of this name goes on with, or is answered with.
SELECT id, state, resume::text
FROM import_job
WHERE brand_id = :brand_id AND kind = 'profiles' AND source = :source AND hashtextextended(source, 0) = hashtextextended(:source, 0)
    AND (state = 'running' OR updated_at > :now - make_interval(secs => :answered_s))
    AND (state <> 'failed' OR resume @> '{"is_cancelled": true}')
ORDER BY id DESC
LIMIT 1

-- name: find_job
SELECT id, kind, format, source, state, bytes_done, bytes_total, lines_done, added, changed, unchanged, rejected,
    bad_addresses, problem, created_at, updated_at
FROM import_job
WHERE id = :id AND brand_id = :brand_id

-- name: page_of_jobs
-- The newest first.
SELECT id, kind, format, source, state, bytes_done, bytes_total, lines_done, added, changed, unchanged, rejected,
    bad_addresses, problem, created_at, updated_at
FROM import_job
WHERE brand_id = :brand_id AND (:before::uuid IS NULL OR id < :before::uuid)
ORDER BY brand_id DESC, id DESC
LIMIT :limit

-- name: lock_job
-- Last in a transaction: whoever waits here holds everything else, and whoever holds this waits for nothing.
SELECT state, bytes_done, lines_done, rejected, resume::text
FROM import_job
WHERE id = :id AND brand_id = :brand_id
FOR UPDATE

-- name: write_job
UPDATE import_job
SET bytes_done = :bytes_done, lines_done = :lines_done, added = added + :added, changed = changed + :changed,
    unchanged = unchanged + :unchanged, rejected = rejected + :rejected, bad_addresses = bad_addresses + :bad_addresses,
    resume = :resume::jsonb, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: end_job
UPDATE import_job
SET state = :state, problem = :problem, updated_at = :now
WHERE id = :id AND brand_id = :brand_id AND state = 'running'

-- name: insert_rejects
INSERT INTO import_reject (job_id, line, brand_id, reason)
SELECT :id, n.line, :brand_id, n.reason
FROM unnest(:lines::bigint[], :reasons::text[]) AS n (line, reason)
ON CONFLICT (job_id, line) DO NOTHING

-- name: page_of_rejects
SELECT line, reason
FROM import_reject
WHERE job_id = :id AND brand_id = :brand_id AND line > :after
ORDER BY line
LIMIT :limit
