-- What became of a run's people, for its hub: totals by template, and people by event.

-- name: executions
-- How the groups' executions stand. A group that has none is over: its template could not be sent, or it was cancelled before.
SELECT g.number, g.template_number, g.people, g.start_at,
    (e.id IS NULL OR e.ended_at IS NOT NULL) AS is_over,
    coalesce((SELECT sum(t.sends) FROM tally t WHERE t.execution_id = g.execution_id AND t.brand_id = :brand_id AND t.state = 2), 0)::bigint
        AS handed_over,
    coalesce((SELECT sum(t.sends) FROM tally t WHERE t.execution_id = g.execution_id AND t.brand_id = :brand_id AND t.state = 5), 0)::bigint
        AS unknown,
    coalesce((SELECT sum(t.sends) FROM tally t WHERE t.execution_id = g.execution_id AND t.brand_id = :brand_id AND t.state IN (3, 4)), 0)::bigint
        AS dropped
FROM connector_group g
LEFT JOIN execution e ON e.id = g.execution_id AND e.brand_id = g.brand_id
WHERE g.run_id = :run_id AND g.brand_id = :brand_id
ORDER BY g.number

-- name: reported
-- Of how many people each kind of fact is known, by group.
SELECT g.number, v.kind, count(DISTINCT v.customer_id)::bigint
FROM connector_group g
JOIN delivery_event v ON v.execution_id = g.execution_id AND v.brand_id = :brand_id
WHERE g.run_id = :run_id AND g.brand_id = :brand_id
    AND v.kind IN ('delivered', 'bounced', 'complained', 'opened', 'clicked', 'unsubscribed')
GROUP BY g.number, v.kind

-- name: people
-- The next of the run's people in the order of their keys, and the first day of each event that the hub was not told of yet.
SELECT p.part, p.customer_id, p.external_id, g.template_number, f.event, f.at
FROM (
    SELECT q.part, q.customer_id, q.external_id, q.group_number, q.told
    FROM connector_person q
    WHERE q.run_id = :run_id AND q.brand_id = :brand_id AND (q.part, q.customer_id) > (:after_part, :after::uuid)
    ORDER BY q.part, q.customer_id
    LIMIT :limit
) p
JOIN connector_group g ON g.run_id = :run_id AND g.brand_id = :brand_id AND g.number = p.group_number
LEFT JOIN LATERAL (
    SELECT e.event, min(e.at) AS at
    FROM (
        SELECT CASE v.kind WHEN 'delivered' THEN 1 WHEN 'opened' THEN 2 WHEN 'clicked' THEN 3 WHEN 'unsubscribed' THEN 4
            WHEN 'complained' THEN 6 WHEN 'bounced' THEN 7 END AS event, v.at
        FROM delivery_event v
        WHERE v.execution_id = g.execution_id AND v.part = p.part AND v.customer_id = p.customer_id AND v.brand_id = :brand_id
        UNION ALL
        SELECT 5, s.decided_at
        FROM send s
        WHERE s.execution_id = g.execution_id AND s.part = p.part AND s.customer_id = p.customer_id AND s.brand_id = :brand_id
            AND s.state IN (3, 4)
        UNION ALL
        SELECT 5, :now WHERE g.execution_id IS NULL
    ) e
    WHERE e.event IS NOT NULL AND p.told & (1 << e.event) = 0
    GROUP BY e.event
) f ON true
ORDER BY p.part, p.customer_id

-- name: note_told
UPDATE connector_person p
SET told = p.told | (1 << :event::integer)
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE p.run_id = :run_id AND p.part = n.part AND p.customer_id = n.customer_id AND p.brand_id = :brand_id

-- name: refused
SELECT r.row_number, r.external_id, r.template_number, r.pulled_at
FROM connector_refused r
WHERE r.run_id = :run_id AND r.brand_id = :brand_id AND NOT r.is_told
ORDER BY r.row_number
LIMIT :limit

-- name: note_refused_told
UPDATE connector_refused
SET is_told = true
WHERE run_id = :run_id AND brand_id = :brand_id AND row_number = ANY(:row_numbers::integer[])
