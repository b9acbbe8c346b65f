-- What a hub and its service know of each person of one campaign, to be compared.

-- name: some_addresses
-- One in so many of the brand's people, the first one among them.
SELECT email FROM (
    SELECT email, row_number() OVER (ORDER BY external_id) AS place FROM customer WHERE brand_id = :brand_id
) AS c
WHERE (c.place - 1) % :share = 0 AND c.email IS NOT NULL
ORDER BY c.place

-- name: hub_people
-- Everybody of the execution: what became of the send, and which facts the service told of them.
SELECT c.external_id, s.state, coalesce(array_agg(v.kind) FILTER (WHERE v.kind IS NOT NULL), '{}') AS facts
FROM send s
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id AND c.brand_id = :brand_id
LEFT JOIN delivery_event v ON v.execution_id = s.execution_id AND v.part = s.part AND v.customer_id = s.customer_id
    AND v.brand_id = :brand_id AND v.partner_channel IS NOT NULL
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id
GROUP BY c.external_id, s.state

-- name: hub_totals
SELECT metric, sum(value)::bigint FROM reported_metric
WHERE execution_id = :execution_id AND brand_id = :brand_id
GROUP BY metric

-- name: hub_told
-- Of how many people facts were told, and whether the execution is over.
SELECT coalesce((SELECT sum(t.people) FROM fact_tally t WHERE t.execution_id = e.id AND t.brand_id = :brand_id), 0)::bigint,
    e.ended_at IS NOT NULL
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id

-- name: service_people
-- Everybody whom the hub named, under their id there; without a send where no execution has them.
SELECT p.external_id, s.state
FROM connector_person p
JOIN connector_group g ON g.run_id = p.run_id AND g.number = p.group_number AND g.brand_id = :brand_id
LEFT JOIN send s ON s.execution_id = g.execution_id AND s.part = p.part AND s.customer_id = p.customer_id AND s.brand_id = :brand_id
WHERE p.run_id = :run_id AND p.brand_id = :brand_id

-- name: service_counts
-- How many are in each state, and whether something may still happen.
SELECT t.state, sum(t.sends)::bigint, bool_and(e.ended_at IS NOT NULL)
FROM connector_group g
JOIN execution e ON e.id = g.execution_id AND e.brand_id = g.brand_id
JOIN tally t ON t.execution_id = e.id AND t.brand_id = :brand_id AND t.state >= 0
WHERE g.run_id = :run_id AND g.brand_id = :brand_id
GROUP BY t.state
HAVING sum(t.sends) <> 0
