-- name: found
-- How many of these executions are on disk.
SELECT count(*) FROM execution WHERE brand_id = :brand_id AND id = ANY(:execution_ids::uuid[])

-- name: backlog
-- Executions that are not over; two counts, so that each has its partial index.
SELECT (SELECT count(*) FROM execution WHERE brand_id = :brand_id AND state = 'queued')
    + (SELECT count(*) FROM execution WHERE brand_id = :brand_id AND state IN ('planning', 'sending'))

-- name: ends
-- When those of these executions that are over were over.
SELECT id, ended_at FROM execution WHERE brand_id = :brand_id AND id = ANY(:execution_ids::uuid[]) AND ended_at IS NOT NULL
