-- Work on the jobs of opt-out lists: who has which, for how long, and how it ended.

-- name: anything_to_do
-- all brands: workers work for all; this one looks whether a claim is worth its lock.
SELECT EXISTS (
    SELECT FROM optout_job
    WHERE state IN ('queued', 'running') AND (state = 'queued' OR claimed_until < :now)
        AND (:bytes_max::bigint IS NULL OR kind <> 'export' AND received_bytes <= :bytes_max)
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
)

-- name: anything_left_behind
-- all brands: workers work for all.
SELECT EXISTS (SELECT FROM optout_job WHERE state = 'running' AND claimed_until < :now)
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)

-- name: begin_claiming
-- all brands: workers work for all. One claims at a time, or two would begin imports of the same list.
SELECT pg_advisory_xact_lock(hashtext('stentor.optout_job'))

-- name: give_up
-- all brands: workers work for all. Where so many died of a job, it is the job.
UPDATE optout_job
SET state = 'failed', message = :message, deaths = deaths + 1, worker = '', claimed_until = NULL, ended_at = :now,
    kept_until = :now + :kept
WHERE state = 'running' AND claimed_until < :now AND deaths >= :deaths_max
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)

-- name: claim
-- all brands: workers work for all. Brands take turns: who has least under way goes first. A restored copy waits until it is
-- let go: its storage is perhaps that of the installation it was copied from, which knows nothing of what is put there.
UPDATE optout_job j
SET state = 'running', worker = :worker, claimed_until = :now + :lease, epoch = j.epoch + 1,
    deaths = j.deaths + CASE j.state WHEN 'running' THEN 1 ELSE 0 END, started_at = coalesce(j.started_at, :now)
FROM (
    SELECT c.id
    FROM optout_job c
    WHERE c.state IN ('queued', 'running') AND (c.state = 'queued' AND NOT :left_behind OR c.claimed_until < :now)
        AND (:bytes_max::bigint IS NULL OR c.kind <> 'export' AND c.received_bytes <= :bytes_max)
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
        AND NOT (
            c.kind = 'import'
            AND EXISTS (
                SELECT FROM optout_job o
                WHERE o.list_id = c.list_id AND o.kind = 'import' AND o.state = 'running' AND o.id <> c.id
            )
        )
    ORDER BY
        (SELECT count(*) FROM optout_job r WHERE r.brand_id = c.brand_id AND r.state = 'running' AND r.id <> c.id),
        c.created_at, c.id
    FOR UPDATE SKIP LOCKED
    LIMIT 1
) n
WHERE j.id = n.id
RETURNING j.id, j.brand_id, j.list_id, j.kind, j.spec::text, j.encoding, j.declared_bytes, j.received_bytes, j.epoch,
    j.asked_by

-- name: beat
UPDATE optout_job
SET claimed_until = :now + :lease, progress = :progress::jsonb
WHERE id = :id AND brand_id = :brand_id AND epoch = :epoch AND state = 'running'

-- name: finish
UPDATE optout_job
SET state = :state, message = :message, results = :results::jsonb, progress = '{}', submitted = :submitted,
    added = :added, duplicate = :duplicate, malformed = :malformed, worker = '', claimed_until = NULL, ended_at = :now,
    kept_until = :now + :kept
WHERE id = :id AND brand_id = :brand_id AND epoch = :epoch AND state = 'running'

-- name: release
-- Somebody else may have it at once; nobody died.
UPDATE optout_job
SET state = 'queued', worker = '', claimed_until = NULL
WHERE id = :id AND brand_id = :brand_id AND epoch = :epoch AND state = 'running'

-- name: leave_behind
-- As if its worker had died: whoever takes it counts that.
UPDATE optout_job
SET claimed_until = :now
WHERE id = :id AND brand_id = :brand_id AND epoch = :epoch AND state = 'running'

-- name: under_way
-- all brands: workplaces belong to machines, not to brands. In a restored copy that nobody has let go all are perhaps those of the
-- installation it was copied from, which knows more of them.
SELECT i.id
FROM unnest(:ids::uuid[]) AS i (id)
WHERE EXISTS (SELECT FROM optout_job j WHERE j.id = i.id AND j.state IN ('queued', 'running'))
    OR EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
