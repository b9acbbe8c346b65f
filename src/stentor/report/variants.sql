-- name: count_variants
-- Of a range of an execution's people: where they are, by channel and variant.
SELECT s.channel, s.variant, s.state, count(*)
FROM send s
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.part BETWEEN :part_from AND :part_to
GROUP BY s.channel, s.variant, s.state
