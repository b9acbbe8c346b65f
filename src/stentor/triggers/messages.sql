-- name: insert_named
INSERT INTO send_context (execution_id, customer_id, brand_id, part, context)
SELECT :execution_id, n.customer_id, :brand_id, n.part, n.context::jsonb
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :contexts::text[]) AS n (part, customer_id, context)
