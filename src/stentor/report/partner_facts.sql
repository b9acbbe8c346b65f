-- Facts that partners tell of people, in the histories of their sends.
--
-- Keys are looked up LATERAL with a LIMIT, each by the index: the planner knows nothing of a week that is being filled.

-- name: standing
-- To whom of them something was sent by that partner channel, decided when; whether it is the first fact of that kind; and, of one
-- with words, whether the person is still there: nothing is said anew of somebody who was erased. Who waits counts once the list that
-- they are on was frozen: a partner may tell what became of rows before it acknowledges them.
SELECT n.place::integer - 1, s.decided_at, s.variant, t.was_told IS NULL, p.is_there IS NOT NULL
FROM unnest(
        :execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :channels::smallint[], :numbers::integer[],
        :kinds::text[], :have_words::boolean[]
    ) WITH ORDINALITY AS n (execution_id, part, customer_id, channel, number, kind, has_words, place)
CROSS JOIN LATERAL (
    SELECT o.decided_at, o.variant
    FROM send o
    WHERE o.execution_id = n.execution_id AND o.part = n.part AND o.customer_id = n.customer_id AND o.channel = n.channel
        AND o.brand_id = :brand_id
        AND (
            SELECT k.sender_id FROM chunk k
            WHERE k.execution_id = n.execution_id AND k.number = o.chunk AND k.brand_id = :brand_id
        ) = (
            SELECT p.sender_id FROM partner_channel p WHERE p.brand_id = :brand_id AND p.number = n.number
        )
        AND (o.state = 2 OR o.state = 0 AND EXISTS (
            SELECT FROM pulled_run r
            WHERE r.execution_id = n.execution_id AND r.channel_number = n.number AND r.brand_id = :brand_id
        ))
    LIMIT 1
) s
LEFT JOIN LATERAL (
    SELECT true AS was_told
    FROM delivery_event e
    WHERE e.execution_id = n.execution_id AND e.part = n.part AND e.customer_id = n.customer_id AND e.brand_id = :brand_id
        AND e.partner_channel = n.number AND e.kind = n.kind
    LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT true AS is_there
    FROM customer c
    WHERE n.has_words AND c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
    LIMIT 1
) p ON true

-- name: tell
-- One that was told before is told once.
INSERT INTO delivery_event (
    execution_id, customer_id, brand_id, event_id, at, part, channel, kind, answer, partner_channel, partner_template,
    recipient_group
)
SELECT e.execution_id, e.customer_id, :brand_id, e.event_id, e.at, e.part, e.channel, e.kind, e.answer, e.number, e.template,
    e.recipient_group
FROM unnest(
        :execution_ids::uuid[], :customer_ids::uuid[], :event_ids::uuid[], :ats::timestamptz[], :parts::smallint[],
        :channels::smallint[], :kinds::text[], :answers::text[], :numbers::integer[], :templates::integer[], :groups::smallint[]
    ) AS e (
        execution_id, customer_id, event_id, at, part, channel, kind, answer, number, template, recipient_group
    )
ORDER BY e.execution_id, e.part, e.customer_id, e.event_id
ON CONFLICT DO NOTHING
RETURNING execution_id, customer_id, event_id

-- name: people_of
-- Each person once, in the order of their keys, with the day on which it was told of them first.
SELECT e.customer_id, c.external_id, min(e.partner_template), (min(e.at) AT TIME ZONE 'UTC')::date
FROM delivery_event e
JOIN customer c ON c.part = e.part AND c.customer_id = e.customer_id AND c.brand_id = :brand_id
WHERE e.execution_id = :execution_id AND e.brand_id = :brand_id AND e.partner_channel = ANY(:numbers) AND e.kind = :kind
    AND (:template::integer IS NULL OR e.partner_template = :template)
    AND (e.part, e.customer_id) > (:after_part::smallint, :after_customer::uuid)
GROUP BY e.part, e.customer_id, c.external_id
ORDER BY e.part, e.customer_id
LIMIT :limit

-- name: told_of
-- What was told of one person in these executions, in the order of time.
SELECT e.execution_id, (e.at AT TIME ZONE 'UTC')::date, e.kind, e.partner_channel, e.partner_template, e.recipient_group
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
CROSS JOIN LATERAL (
    SELECT t.execution_id, t.at, t.kind, t.partner_channel, t.partner_template, t.recipient_group, t.event_id
    FROM delivery_event t
    WHERE t.execution_id = x.execution_id AND t.part = :part AND t.customer_id = :customer_id AND t.brand_id = :brand_id
        AND t.partner_channel = ANY(:numbers) AND t.at >= :since::timestamptz AND t.at < :until::timestamptz
    OFFSET 0
) e
ORDER BY e.at, e.event_id
LIMIT :limit
