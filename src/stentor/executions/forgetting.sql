-- What executions said, forgotten when the brand's settings say so. Their sends, counters and books stay.

-- name: page_of_old
SELECT e.id
FROM execution e
WHERE e.brand_id = :brand_id AND e.id > :after AND e.id < uuid_floor(:now - make_interval(days => :days))
    AND e.forgotten_at IS NULL
ORDER BY e.id
LIMIT :limit

-- name: lock_forgettable
-- A run's words are its steps' too. Of a restored copy that nobody has let go everything stays.
SELECT e.id
FROM execution e
WHERE e.id = ANY(:execution_ids) AND e.brand_id = :brand_id AND e.ended_at IS NOT NULL AND e.forgotten_at IS NULL
    AND nothing_is_open(:brand_id, e.id)
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY e.id
FOR UPDATE OF e SKIP LOCKED

-- name: blank_answers
UPDATE delivery_event d
SET answer = ''
FROM (
    SELECT w.execution_id, w.part, w.customer_id, w.event_id
    FROM delivery_event w
    WHERE w.execution_id = ANY(:execution_ids) AND w.brand_id = :brand_id AND w.answer <> ''
    LIMIT :limit
) o
WHERE d.execution_id = o.execution_id AND d.part = o.part AND d.customer_id = o.customer_id AND d.event_id = o.event_id
    AND d.brand_id = :brand_id

-- name: blank_contexts
UPDATE send_context a
SET context = NULL, shown = NULL
WHERE a.execution_id = ANY(:execution_ids) AND a.brand_id = :brand_id AND (a.context IS NOT NULL OR a.shown IS NOT NULL)

-- name: forget
UPDATE execution SET context = '{}', forgotten_at = :now WHERE id = ANY(:execution_ids) AND brand_id = :brand_id

-- name: forgotten_after
-- After how many days the execution's words were forgotten; null where they are still there.
SELECT extract(day FROM e.forgotten_at - greatest(e.created_at, e.start_at))::integer
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id
