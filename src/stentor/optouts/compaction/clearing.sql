-- name: may_delete
-- all brands: a restored copy that nobody has let go shares its storage, perhaps, with the installation that it was copied from.
SELECT NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)

-- name: forget_removals
-- all brands: the keeper's sweep. One is needed as long as the catalogue has a file that may hold the entry: also one that was
-- replaced, for whoever looked at the catalogue a moment before. Of each list that is told by one number, with which all of its
-- removals are compared: those from a file's generation on are needed that were not taken out of it.
DELETE FROM optout_removed d
WHERE (d.list_id, d.digest) IN (
    SELECT r.list_id, r.digest
    FROM optout_removed r
    LEFT JOIN (
        SELECT f.list_id, min(greatest(f.generation, f.cleared + 1)) AS since
        FROM (
            SELECT list_id, generation, cleared FROM optout_run
            UNION ALL
            SELECT list_id, generation, cleared FROM optout_segment
        ) f
        GROUP BY f.list_id
    ) needed ON needed.list_id = r.list_id
    WHERE needed.since IS NULL OR r.generation < needed.since
    LIMIT :limit
)

-- name: forget_recents
-- all brands: single entries of lists that were deleted long ago.
DELETE FROM optout_recent d
WHERE (d.list_id, d.digest) IN (
    SELECT r.list_id, r.digest
    FROM optout_list l
    JOIN optout_recent r ON r.list_id = l.id
    WHERE l.state = 'deleted' AND l.updated_at < :now - make_interval(days => :days)
    LIMIT :limit
)

-- name: forget_lifted
-- all brands: the keeper's sweep over entries that were taken off so long ago that nobody is explained any more who was written
-- to then.
DELETE FROM optout_lifted d
WHERE d.ctid = ANY(ARRAY(
    SELECT l.ctid FROM optout_lifted l WHERE l.lifted_at < :now - make_interval(days => :days) LIMIT :limit
))

-- name: forget_generations
-- all brands: the keeper's sweep. The last one before the history begins is the one that held then; of those before it, a file that
-- is still there says by its own since when it is.
DELETE FROM optout_generation d
WHERE (d.list_id, d.generation) IN (
    SELECT g.list_id, g.generation
    FROM optout_generation g
    WHERE g.at < :now - make_interval(days => :days)
        AND EXISTS (SELECT FROM optout_generation n
            WHERE n.list_id = g.list_id AND n.generation > g.generation AND n.at < :now - make_interval(days => :days))
        AND NOT EXISTS (SELECT FROM optout_run r
            WHERE r.list_id = g.list_id AND r.generation = g.generation AND r.replaced_at IS NULL)
    LIMIT :limit
)

-- name: strangers_until
-- all brands: files that were made before this and that nobody names are left behind by a crash; younger ones, or ones that a
-- running job may have made, are perhaps about to be named.
SELECT least(:now - :kept::interval, (SELECT min(started_at) FROM optout_job WHERE state IN ('queued', 'running')))

-- name: known_parts
-- all brands: of pieces of uploaded files in the storage, those that are named.
SELECT name FROM optout_part WHERE name = ANY(:names::text[])

-- name: known_results
-- all brands: of files that jobs made, those that are named.
SELECT r.value ->> 'name'
FROM optout_job j
CROSS JOIN jsonb_each(j.results) r
WHERE j.id = ANY(:job_ids::uuid[])

-- name: jobs_under_way
-- all brands: whose files are on their way.
SELECT id FROM optout_job WHERE id = ANY(:job_ids::uuid[]) AND state IN ('uploading', 'queued', 'running')
