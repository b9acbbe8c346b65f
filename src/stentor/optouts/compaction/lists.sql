-- Lists as compaction looks at them.

-- name: in_need
-- all brands: the compactor's look for lists that may have something to merge, to take out or to drop; the rest is decided by
-- what is in them. None in a restored copy that nobody has let go: its storage is perhaps another's, who would take what is put
-- there for left behind.
SELECT l.id AS list_id, l.brand_id, l.hash, l.expiry_days, l.state = 'deleted' AS is_deleted
FROM optout_list l
WHERE NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    AND l.id IN (
        SELECT r.list_id FROM optout_run r WHERE r.replaced_at IS NULL
        GROUP BY r.list_id
        HAVING count(*) > :runs_max OR count(*) FILTER (WHERE r.entries < :small_run_entries) > :small_runs_max
        UNION
        SELECT s.list_id FROM optout_segment s WHERE s.replaced_at IS NULL AND s.entries < :small_segment_entries
        GROUP BY s.list_id
        HAVING count(*) > :small_segments_max
        UNION
        SELECT d.list_id FROM optout_removed d
        GROUP BY d.list_id
        HAVING min(d.at) < :now - :removed_within::interval OR count(*) > :removed_max
        UNION
        SELECT e.list_id FROM optout_erasure e WHERE e.asked_at < :now - :erased_within::interval
        UNION
        SELECT f.list_id
        FROM (
            SELECT list_id, learned_at FROM optout_run WHERE replaced_at IS NULL
            UNION ALL
            SELECT list_id, learned_at FROM optout_segment WHERE replaced_at IS NULL
        ) f
        JOIN optout_list x ON x.id = f.list_id
        WHERE f.learned_at < :now - make_interval(days => x.expiry_days + :kept_days)
            OR (x.state = 'deleted' AND x.updated_at < :now - make_interval(days => :deleted_days))
    )
ORDER BY l.id

-- name: find
SELECT id AS list_id, brand_id, hash, expiry_days, state = 'deleted' AS is_deleted
FROM optout_list
WHERE id = :list_id AND brand_id = :brand_id

-- name: due
-- Whether removed and erased entries shall be taken out by now.
SELECT
    coalesce((SELECT min(at) < :now - :removed_within::interval OR count(*) > :removed_max FROM optout_removed
        WHERE list_id = :list_id AND brand_id = :brand_id), false) AS removed,
    EXISTS (SELECT FROM optout_erasure
        WHERE list_id = :list_id AND brand_id = :brand_id AND asked_at < :now - :erased_within::interval) AS erased

-- name: removals
-- Of no generation a part: what is taken out of files is noted by whole generations.
SELECT digest, generation
FROM optout_removed
WHERE list_id = :list_id AND brand_id = :brand_id
ORDER BY generation
FETCH FIRST :limit ROWS WITH TIES

-- name: erasures
SELECT digest
FROM optout_erasure
WHERE list_id = :list_id AND brand_id = :brand_id
ORDER BY digest
LIMIT :limit

-- name: lock
SELECT true FROM optout_list WHERE id = :list_id AND brand_id = :brand_id FOR UPDATE

-- name: next_generation
UPDATE optout_list SET generation = generation + 1
WHERE id = :list_id AND brand_id = :brand_id
RETURNING generation

-- name: note_generation
INSERT INTO optout_generation (list_id, generation, brand_id, at, what)
VALUES (:list_id, :generation, :brand_id, :now, :what)

-- name: forget_erasures
-- Those that were carried out, unless a segment has come since that may name the person too, or is still being made of a file
-- that was asked in before.
DELETE FROM optout_erasure e
WHERE e.list_id = :list_id AND e.brand_id = :brand_id AND e.digest = ANY(:digests::bytea[])
    AND NOT EXISTS (SELECT FROM optout_segment s
        WHERE s.list_id = e.list_id AND s.replaced_at IS NULL AND s.id <> ALL(:searched::uuid[]))
    AND NOT EXISTS (SELECT FROM optout_job j
        WHERE j.list_id = e.list_id AND j.kind = 'import' AND j.state IN ('uploading', 'queued', 'running')
            AND j.created_at < coalesce(e.again_at, e.asked_at))
