-- name: insert_shown
INSERT INTO send_context (execution_id, customer_id, brand_id, part, shown_as, shown)
SELECT :execution_id, n.customer_id, :brand_id, n.part, :shown_as::uuid, :shown::jsonb
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
