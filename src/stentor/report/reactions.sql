-- name: reactions
SELECT r.channel, r.kind, r.people
FROM reaction_tally r
WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id
ORDER BY r.channel

-- name: untold
-- Those of whom nothing of that kind was told before, by their places. By the index, person by person: the planner knows nothing of
-- a week that is being filled.
SELECT n.place::integer - 1
FROM unnest(
        :execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :channels::smallint[], :kinds::text[]
    ) WITH ORDINALITY AS n (execution_id, part, customer_id, channel, kind, place)
LEFT JOIN LATERAL (
    SELECT true AS was_told
    FROM delivery_event e
    WHERE e.execution_id = n.execution_id AND e.part = n.part AND e.customer_id = n.customer_id AND e.brand_id = :brand_id
        AND e.channel = n.channel AND e.kind = n.kind
    LIMIT 1
) t ON true
WHERE t.was_told IS NULL

-- name: count_reactions
-- In the order of their key, so that two who count the same do not wait for each other in a circle. Of an execution that is gone
-- nothing is counted.
INSERT INTO reaction_tally AS r (execution_id, channel, kind, brand_id, people)
SELECT n.execution_id, n.channel, n.kind, :brand_id, n.people
FROM unnest(:execution_ids::uuid[], :channels::smallint[], :kinds::text[], :people::bigint[])
    AS n (execution_id, channel, kind, people)
JOIN execution x ON x.id = n.execution_id AND x.brand_id = :brand_id
ORDER BY n.execution_id, n.channel, n.kind
ON CONFLICT (execution_id, channel, kind) DO UPDATE SET people = r.people + excluded.people
