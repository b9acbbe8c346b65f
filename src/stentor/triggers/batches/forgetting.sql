-- name: old_batches
-- Batches whose people were written to, or were only to be stored; each with its tag while it has one.
SELECT b.id, CASE
    WHEN b.start_at IS NULL THEN b.tag_id
    WHEN e.id IS NULL AND b.execution_id IS NOT NULL THEN b.tag_id
    WHEN e.ended_at IS NOT NULL THEN b.tag_id
END
FROM batch b
LEFT JOIN execution e ON e.id = b.execution_id AND e.brand_id = b.brand_id
WHERE b.brand_id = :brand_id AND b.id > :after AND b.id < uuid_floor(:now - make_interval(days => :days))
    AND NOT EXISTS (SELECT FROM import_job j WHERE j.id = b.id AND j.brand_id = b.brand_id AND j.state = 'running')
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY b.id
LIMIT :limit
