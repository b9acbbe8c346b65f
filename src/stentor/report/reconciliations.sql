-- name: count_rows
-- What there is, row by row. Pieces of executions arrive as arrays: dozens of small executions, or a range of parts of a large
-- one, so that no statement looks at much more than 20,000 people.
SELECT s.execution_id, s.channel, s.state, s.reason, count(*)
FROM unnest(:execution_ids::uuid[], :brand_ids::uuid[], :parts_from::smallint[], :parts_to::smallint[])
    AS w (execution_id, brand_id, part_from, part_to)
JOIN send s ON s.execution_id = w.execution_id AND s.brand_id = w.brand_id AND s.part BETWEEN w.part_from AND w.part_to
GROUP BY s.execution_id, s.channel, s.state, s.reason

-- name: counters
SELECT t.execution_id, t.channel, t.state, t.reason, sum(t.sends)::bigint
FROM unnest(:execution_ids::uuid[], :brand_ids::uuid[]) AS w (execution_id, brand_id)
JOIN tally t ON t.execution_id = w.execution_id AND t.brand_id = w.brand_id
GROUP BY t.execution_id, t.channel, t.state, t.reason

-- name: insert_reconciliations
-- Called with the executions' rows locked, so that two ends have two numbers.
INSERT INTO reconciliation (execution_id, number, brand_id, at, balanced)
SELECT w.execution_id,
    (SELECT coalesce(max(r.number), 0) + 1 FROM reconciliation r WHERE r.execution_id = w.execution_id AND r.brand_id = w.brand_id),
    w.brand_id, :now, w.balanced
FROM unnest(:execution_ids::uuid[], :brand_ids::uuid[], :balanced::boolean[]) AS w (execution_id, brand_id, balanced)
RETURNING execution_id, number

-- name: insert_lines
INSERT INTO reconciliation_line (execution_id, number, channel, state, reason, brand_id, sends, counted)
SELECT l.execution_id, l.number, l.channel, l.state, l.reason, l.brand_id, l.sends, l.counted
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :channels::smallint[], :states::smallint[], :reasons::smallint[],
        :brand_ids::uuid[], :sends::bigint[], :counted::bigint[]
    ) AS l (execution_id, number, channel, state, reason, brand_id, sends, counted)

-- name: page
SELECT r.number, r.at, r.balanced
FROM reconciliation r
WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id AND (:before::integer IS NULL OR r.number < :before)
ORDER BY r.number DESC
LIMIT :limit

-- name: lines
SELECT l.number, l.channel, l.state, l.reason, l.sends, l.counted
FROM reconciliation_line l
WHERE l.execution_id = :execution_id AND l.brand_id = :brand_id AND l.number = ANY(:numbers)
ORDER BY l.number DESC, l.channel, l.state, l.reason
