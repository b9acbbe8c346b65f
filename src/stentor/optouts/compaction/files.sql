-- for each KIND of: run, segment
-- The catalogue's files of one kind, for compaction. Whoever changes which of them are live holds the lock on the list's row.

-- name: live
SELECT id, generation, entries, bytes, cleared, learned_at
FROM optout_{KIND}
WHERE list_id = :list_id AND brand_id = :brand_id AND replaced_at IS NULL
ORDER BY learned_at, id

-- name: replace
UPDATE optout_{KIND} SET replaced_at = :now
WHERE list_id = :list_id AND brand_id = :brand_id AND id = ANY(:ids::uuid[]) AND replaced_at IS NULL

-- name: insert
INSERT INTO optout_{KIND} (id, list_id, brand_id, generation, entries, bytes, cleared, learned_at, created_at)
VALUES (:id, :list_id, :brand_id, :generation, :entries, :bytes, :cleared, :learned_at, :now)

-- name: note_cleared
-- Nothing of it was in the file; or it was, and was taken out.
UPDATE optout_{KIND} SET cleared = greatest(cleared, :cleared)
WHERE list_id = :list_id AND brand_id = :brand_id AND id = ANY(:ids::uuid[])

-- name: replace_lapsed
-- Longer ago than somebody may need to find out that the expiry was set by mistake.
UPDATE optout_{KIND} r SET replaced_at = :now
FROM optout_list l
WHERE l.id = r.list_id AND l.brand_id = r.brand_id AND r.list_id = :list_id AND r.brand_id = :brand_id
    AND r.replaced_at IS NULL
    AND (l.state = 'deleted' OR r.learned_at < :now - make_interval(days => l.expiry_days + :kept_days))

-- name: deletable
-- all brands: the keeper's sweep over files that nobody opens any more: jobs that began before may still read them.
SELECT r.id
FROM optout_{KIND} r
WHERE r.replaced_at < :now - :kept::interval
    AND NOT EXISTS (SELECT FROM optout_job j WHERE j.state IN ('queued', 'running') AND j.started_at <= r.replaced_at)
ORDER BY r.replaced_at
LIMIT :limit

-- name: forget
-- all brands: the rows of files that were deleted.
DELETE FROM optout_{KIND} WHERE id = ANY(:ids::uuid[]) AND replaced_at IS NOT NULL

-- name: known
-- all brands: of files in the storage, those that the catalogue has.
SELECT id FROM optout_{KIND} WHERE id = ANY(:ids::uuid[])
