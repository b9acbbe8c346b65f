-- Executions whose recipients were named in the call: the counterparts of what plan.sql does for a topic's subscribers.

-- name: plan_named
-- One send per person and channel or, with :only_first, per person, as plan_all and plan_first write them. No channel flag
-- objects, and there are no quiet hours: what is transactional needs nobody's consent and waits for no morning. Where routes
-- have conditions, the cast that was made of the same people in this transaction says which of them are meant, by their masks.
INSERT INTO send (execution_id, customer_id, brand_id, decided_at, chunk, part, channel, state, reason, variant)
SELECT v.execution_id, v.customer_id, :brand_id, :now, v.chunk, v.part, v.channel, CASE WHEN v.reason = 0 THEN 0 ELSE 3 END,
    v.reason, v.variant
FROM (
    SELECT DISTINCT ON (c.execution_id, c.part, c.customer_id, CASE WHEN :only_first THEN 0 ELSE c.ordinal END)
        c.execution_id, c.customer_id, c.part, c.channel, c.chunk, c.reason, c.variant
    FROM (
        SELECT r.execution_id, a.customer_id, a.part, r.channel, r.ordinal,
            r.chunk_base + chunk_offset(a.customer_id, a.part, r.part_from, r.part_to, r.chunks) AS chunk,
            coalesce(
                nullif(person_objection(0, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, r.bit), 0),
                holdout_objection(:campaign_id, a.customer_id, :holdout)
            ) AS reason,
            r.variant_base + variant_for(string_to_array(r.languages, ','), p.locale) AS variant
        FROM unnest(
                :execution_ids::uuid[], :masks::bigint[], :channels::smallint[], :bits::integer[], :languages::text[],
                :variant_bases::smallint[], :chunk_bases::integer[], :chunks::integer[], :parts_from::smallint[],
                :parts_to::smallint[]
            ) WITH ORDINALITY
            AS r (execution_id, mask, channel, bit, languages, variant_base, chunk_base, chunks, part_from, part_to, ordinal)
        JOIN named_audience a ON a.execution_id = r.execution_id AND a.part BETWEEN r.part_from AND r.part_to
        JOIN person p ON p.part = a.part AND p.customer_id = a.customer_id
        WHERE a.brand_id = :brand_id AND p.brand_id = :brand_id AND (
            r.mask IS NULL OR EXISTS (
                SELECT FROM cast_member m
                WHERE m.execution_id = a.execution_id AND m.part = a.part AND m.customer_id = a.customer_id
                    AND m.brand_id = :brand_id AND m.routes & r.mask <> 0
            )
        )
    ) c
    ORDER BY c.execution_id, c.part, c.customer_id, CASE WHEN :only_first THEN 0 ELSE c.ordinal END, (c.reason <> 0), c.ordinal
) v

-- name: own_contexts
-- What was said of these recipients alone.
SELECT a.execution_id, a.customer_id, a.context
FROM unnest(:execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[]) AS n (execution_id, part, customer_id)
JOIN send_context a ON a.execution_id = n.execution_id AND a.part = n.part AND a.customer_id = n.customer_id
WHERE a.brand_id = :brand_id AND a.context IS NOT NULL

-- name: shown_as
-- Whose fields, or which, these recipients' messages are made of.
SELECT a.execution_id, a.customer_id, a.shown_as, a.shown
FROM unnest(:execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[]) AS n (execution_id, part, customer_id)
JOIN send_context a ON a.execution_id = n.execution_id AND a.part = n.part AND a.customer_id = n.customer_id
WHERE a.brand_id = :brand_id AND (a.shown_as IS NOT NULL OR a.shown IS NOT NULL)

-- name: is_named
SELECT EXISTS (
    SELECT FROM send_context a
    WHERE a.execution_id = :execution_id AND a.part = :part AND a.customer_id = :customer_id AND a.brand_id = :brand_id
)

-- name: is_cast
-- Whether they are planned: who is held out, or waits for a winner, is not.
SELECT EXISTS (
    SELECT FROM cast_member a
    WHERE a.execution_id = :execution_id AND a.part = :part AND a.customer_id = :customer_id AND a.brand_id = :brand_id
        AND coalesce(a.arm, 0) < 8
)
