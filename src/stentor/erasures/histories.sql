-- In which executions there may be something of people: those whose calls named them, those that cast them, and those of the topics
-- that they ever chose. Each is found by an index, so that a million executions about others cost nothing. Of several people all
-- are asked for together; each page begins behind :after.

-- name: naming
SELECT DISTINCT a.execution_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT execution_id
    FROM send_context
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND execution_id > :after::uuid
    ORDER BY execution_id
    LIMIT :limit
) a
ORDER BY a.execution_id
LIMIT :limit

-- name: casting
SELECT DISTINCT a.execution_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT execution_id
    FROM cast_member
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND execution_id > :after::uuid
    ORDER BY execution_id
    LIMIT :limit
) a
ORDER BY a.execution_id
LIMIT :limit

-- name: chosen
-- The ledger knows of each choice, also of people who are gone.
SELECT DISTINCT e.topic_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT topic_id
    FROM consent_event
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND topic_id IS NOT NULL
    OFFSET 0
) e

-- name: of_topics
-- One that a customer's event started has a topic and names its people, which `naming` finds.
SELECT e.id
FROM unnest(:topic_ids::uuid[]) AS t (topic_id)
CROSS JOIN LATERAL (
    SELECT id
    FROM execution
    WHERE brand_id = :brand_id AND topic_id = t.topic_id AND cast_size IS NULL AND recipients = 0 AND id > :after::uuid
    ORDER BY id
    LIMIT :limit
) e
ORDER BY e.id
LIMIT :limit
