-- name: troubles
-- What was answered about sends that did not go out, some hundred of each kind, with what became of them and whose sender it was. The
-- kinds stand in the condition of the index too, which holds nothing else.
SELECT w.channel, d.kind, d.answer, n.name, s.state, s.reason
FROM unnest(:channels::smallint[]) AS w (channel)
CROSS JOIN unnest(:kinds::text[]) AS k (kind)
CROSS JOIN LATERAL (
    SELECT e.kind, e.answer, e.sender_id, e.part, e.customer_id
    FROM delivery_event e
    WHERE e.execution_id = :execution_id AND e.brand_id = :brand_id AND e.channel = w.channel AND e.kind = k.kind
        AND e.kind IN ('deferred', 'rejected', 'in_doubt', 'template_error')
    LIMIT :limit
) d
CROSS JOIN LATERAL (
    SELECT o.state, o.reason
    FROM send o
    WHERE o.execution_id = :execution_id AND o.part = d.part AND o.customer_id = d.customer_id AND o.channel = w.channel
        AND o.brand_id = :brand_id
    LIMIT 1
) s
LEFT JOIN sender n ON n.id = d.sender_id AND n.brand_id = :brand_id
