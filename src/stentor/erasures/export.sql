-- All that is held of one person, each row as it is: a column that is added is in the export. What is found by execution is asked
-- for a page of executions at a time, by key.

-- name: person
SELECT to_jsonb(r) FROM customer r WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id

-- name: tombstone
-- Of somebody who was merged into another person.
SELECT to_jsonb(r)
FROM customer_merged r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id

-- name: earlier
SELECT to_jsonb(r)
FROM customer_past r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.until

-- name: merged
-- Who was merged into them; what was sent to those is exported under their own ids.
SELECT to_jsonb(r)
FROM customer_merged r
WHERE r.brand_id = :brand_id AND r.merged_into = :customer_id
ORDER BY r.merged_at

-- name: subscriptions
SELECT to_jsonb(r) || jsonb_build_object('topic', t.key)
FROM subscription r
JOIN topic t ON t.id = r.topic_id AND t.brand_id = :brand_id
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY t.key

-- name: tags
SELECT to_jsonb(r)
FROM customer_tag r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.tag_id

-- name: tag_names
SELECT id, name FROM tag WHERE brand_id = :brand_id AND id = ANY(:tag_ids)

-- name: consents
-- Oldest first.
SELECT to_jsonb(r)
FROM consent_event r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.at, r.event_id

-- name: contexts
SELECT to_jsonb(r)
FROM send_context r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.execution_id

-- name: told
SELECT to_jsonb(r)
FROM customer_event r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.at, r.event_id

-- name: contacts
SELECT to_jsonb(r)
FROM contact r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.execution_id, r.channel

-- name: reports
SELECT to_jsonb(r)
FROM provider_event r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.at, r.event_id

-- name: messages
-- Of the sandbox; their text is put together from the parts.
SELECT to_jsonb(r) - 'parts' - 'skeleton_id'
FROM sandbox_message r
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.at, r.execution_id, r.channel

-- name: message_parts
SELECT s.content, m.parts
FROM sandbox_message m
JOIN sandbox_skeleton s ON s.brand_id = m.brand_id AND s.skeleton_id = m.skeleton_id
WHERE m.execution_id = :execution_id AND m.part = :part AND m.customer_id = :customer_id AND m.channel = :channel
    AND m.brand_id = :brand_id

-- name: sends
SELECT to_jsonb(r)
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
JOIN send r ON r.execution_id = x.execution_id
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.execution_id, r.channel

-- name: revocations
-- What services that had fetched them were told.
SELECT to_jsonb(r)
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
JOIN revocation r ON r.execution_id = x.execution_id
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.execution_id, r.channel_number

-- name: pulls
-- Which services were given their details, by which list, and when: the rows of lists that are gone said it in their time.
SELECT jsonb_build_object(
    'execution_id', r.execution_id, 'pull_id', r.pull_id, 'channel_number', p.channel_number, 'service', p.puller,
    'position', r.position, 'template', r.template, 'scheduled_at', r.scheduled_at, 'frozen_at', p.frozen_at,
    'fetched', (
        SELECT coalesce(
            jsonb_agg(
                jsonb_build_object('by', g.asked_by, 'at', g.asked_at, 'handed_over_at', g.handed_over_at) ORDER BY g.asked_at
            ),
            '[]'
        )
        FROM pull_page g
        WHERE g.pull_id = r.pull_id AND g.brand_id = :brand_id AND g.position_from <= r.position AND g.position_to > r.position
    )
)
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
JOIN pull p ON p.execution_id = x.execution_id AND p.brand_id = :brand_id AND p.frozen_at IS NOT NULL AND p.emptied_at IS NULL
JOIN pull_row r ON r.execution_id = p.execution_id AND r.pull_id = p.id
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.execution_id, p.id

-- name: events
SELECT to_jsonb(r)
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
JOIN delivery_event r ON r.execution_id = x.execution_id
WHERE r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.execution_id, r.at, r.event_id
