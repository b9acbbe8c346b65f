-- name: kept_since
-- Since when is kept what people, opt-outs and policies were: 0011_what_was.sql has the tables.
SELECT m.applied_at FROM schema_migration m WHERE m.number = 11

-- name: planned_at
-- When the people of that part were planned; null as long as they are not.
SELECT e.deadline_at, CASE
    WHEN s.execution_id IS NULL THEN e.published_at
    ELSE s.planned_at
END
FROM execution e
LEFT JOIN slice s ON s.execution_id = e.id AND s.brand_id = :brand_id AND :part::smallint BETWEEN s.part_from AND s.part_to
WHERE e.id = :execution_id AND e.brand_id = :brand_id

-- name: waves_of
-- When the waves were guarded that somebody of this chunk may have been in, the latest first.
SELECT v.opened_at
FROM wave v
WHERE v.execution_id = :execution_id AND v.chunk = :chunk AND v.brand_id = :brand_id
    AND :customer_id::uuid BETWEEN v.key_from AND v.key_to
ORDER BY v.number DESC

-- name: frozen_lists
-- When whoever a service pulls was guarded: from when to when its lists were frozen, the latest first. Of a client that asks each
-- minute there are ten thousand: those of each count that began last before it was decided.
SELECT p.started_at, coalesce(p.frozen_at, p.started_at)
FROM (
    SELECT l.id, l.started_at, l.frozen_at, row_number() OVER (PARTITION BY l.puller_id ORDER BY l.id DESC) AS place
    FROM pull l
    WHERE l.execution_id = :execution_id AND l.brand_id = :brand_id AND l.channel_number = :channel_number
        AND l.started_at <= :until::timestamptz
) p
WHERE p.place <= :of_each
ORDER BY p.id DESC
LIMIT :limit

-- name: chunk_and_sender
SELECT c.due_at, s.name, s.paused_at
FROM chunk c
JOIN sender s ON s.id = c.sender_id AND s.brand_id = :brand_id
WHERE c.execution_id = :execution_id AND c.number = :number AND c.brand_id = :brand_id

-- name: paused_senders
-- Those that somebody of the execution waits for.
SELECT DISTINCT s.name, s.channel, s.paused_at
FROM chunk c
JOIN sender s ON s.id = c.sender_id AND s.brand_id = :brand_id
WHERE c.execution_id = :execution_id AND c.brand_id = :brand_id AND c.done_at IS NULL AND s.paused_at IS NOT NULL
ORDER BY s.name
