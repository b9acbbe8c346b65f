-- What happened to one person across all executions, newest first. Whoever was merged into them is asked along: their history
-- stays under their own ids.

-- name: family
SELECT customer_id, external_id FROM customer_merged
WHERE brand_id = :brand_id AND merged_into = :customer_id
ORDER BY merged_at DESC
LIMIT :limit

-- name: naming
-- In which executions there may be something of them, from before one on: those whose calls named them, those that cast them, and
-- those of the topics that they ever chose. Each is found by an index, so that a million executions about others cost nothing.
SELECT DISTINCT a.execution_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT execution_id
    FROM send_context
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND execution_id < :before::uuid
    ORDER BY execution_id DESC
    LIMIT :limit
) a
ORDER BY a.execution_id DESC
LIMIT :limit

-- name: casting
SELECT DISTINCT a.execution_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT execution_id
    FROM cast_member
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND execution_id < :before::uuid
    ORDER BY execution_id DESC
    LIMIT :limit
) a
ORDER BY a.execution_id DESC
LIMIT :limit

-- name: of_topics
-- One that a customer's event started has a topic and names its people, which `naming` finds.
SELECT e.id
FROM unnest(:topic_ids::uuid[]) AS t (topic_id)
CROSS JOIN LATERAL (
    SELECT id
    FROM execution
    WHERE brand_id = :brand_id AND topic_id = t.topic_id AND cast_size IS NULL AND recipients = 0 AND id < :before::uuid
    ORDER BY id DESC
    LIMIT :limit
) e
ORDER BY e.id DESC
LIMIT :limit

-- name: topics_chosen
-- The ledger knows of each choice.
SELECT DISTINCT e.topic_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT topic_id
    FROM consent_event
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND topic_id IS NOT NULL
    OFFSET 0
) e

-- name: runs
SELECT e.id, e.state, e.is_test, e.step, e.parent_id, e.generator_id, e.topic_key, p.campaign_id, c.name
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
JOIN execution e ON e.id = x.execution_id
JOIN publication p ON p.id = e.publication_id
JOIN campaign c ON c.id = p.campaign_id
WHERE e.brand_id = :brand_id AND p.brand_id = :brand_id AND c.brand_id = :brand_id

-- name: sends
-- A held one waits until its chunk falls due.
SELECT s.execution_id, s.customer_id, s.channel, s.state, s.reason, s.tries, s.decided_at, CASE WHEN s.state = :held THEN k.due_at END
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
CROSS JOIN unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT execution_id, customer_id, channel, state, reason, tries, decided_at, chunk
    FROM send
    WHERE execution_id = x.execution_id AND part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    OFFSET 0
) s
LEFT JOIN chunk k ON k.execution_id = s.execution_id AND k.number = s.chunk AND k.brand_id = :brand_id
ORDER BY s.execution_id, s.channel

-- name: answers
SELECT d.execution_id, d.customer_id, d.channel, d.kind, d.at, d.sender_id, d.answer
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
CROSS JOIN unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT execution_id, customer_id, channel, kind, at, sender_id, answer, event_id
    FROM delivery_event
    WHERE execution_id = x.execution_id AND part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    ORDER BY event_id
    LIMIT :limit
) d
ORDER BY d.execution_id, d.at, d.event_id

-- name: waits
-- When they fall due, or fell due, for the steps of a run.
SELECT w.execution_id, w.customer_id, w.step, w.due_at
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
CROSS JOIN unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN stepping g ON g.execution_id = x.execution_id AND g.brand_id = :brand_id
CROSS JOIN LATERAL (
    SELECT execution_id, customer_id, step, due_at
    FROM step_wait
    WHERE execution_id = x.execution_id AND step = ANY(:steps::smallint[]) AND part = n.part AND customer_id = n.customer_id
        AND brand_id = :brand_id
    OFFSET 0
) w
ORDER BY w.execution_id, w.step

-- name: consents
SELECT e.customer_id, e.event_id, e.at, e.kind, e.topic_id, e.channels, e.source, e.actor, e.ip, e.text_version, e.note,
    e.until
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT customer_id, event_id, at, kind, topic_id, channels, source, actor, ip, text_version, note, until
    FROM consent_event
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
        AND (at, event_id) < (:until::timestamptz, :until_id::uuid)
    ORDER BY at DESC, event_id DESC
    LIMIT :limit
) e
ORDER BY e.at DESC, e.event_id DESC
LIMIT :limit

-- name: told
-- What callers told of them.
SELECT t.customer_id, t.event_id, t.at, t.name, t.properties
FROM customer_event t
JOIN unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
    ON t.part = n.part AND t.customer_id = n.customer_id
WHERE t.brand_id = :brand_id AND (t.at, t.event_id) < (:until::timestamptz, :until_id::uuid)
ORDER BY t.at DESC, t.event_id DESC
LIMIT :limit
