-- Executions that partners execute, as partners ask about them.

-- name: runs
-- Of the channels that the client executes, and no others. A test's are told to nobody, and have no number.
SELECT r.number, r.execution_id, r.published_at, r.channels, p.campaign_id, p.content->>'campaign_name' AS campaign_name,
    (e.audience->>'segment_id')::uuid AS segment_id, (e.audience->>'tag_id')::uuid AS tag_id,
    e.state, coalesce(e.error_code, '') AS error_code, e.audience_size, e.schedule_id IS NOT NULL AS is_recurrent,
    e.cancelled_at IS NOT NULL AS is_cancelled, greatest(e.start_at, e.created_at) AS started_at, e.deadline_at,
    jsonb_typeof(p.content->'experiment') = 'object' AS has_arms,
    ARRAY(
        SELECT (route->'partner'->>'channel_number')::integer
        FROM jsonb_array_elements(p.content->'routes') WITH ORDINALITY AS x (route, place)
        WHERE jsonb_typeof(route->'partner') = 'object'
        ORDER BY x.place
    ) AS route_channels,
    ARRAY(
        SELECT (route->'partner'->>'template_number')::integer
        FROM jsonb_array_elements(p.content->'routes') WITH ORDINALITY AS x (route, place)
        WHERE jsonb_typeof(route->'partner') = 'object'
        ORDER BY x.place
    ) AS route_templates
FROM partner_run r
JOIN execution e ON e.id = r.execution_id AND e.brand_id = :brand_id
JOIN publication p ON p.id = e.publication_id AND p.brand_id = :brand_id
WHERE r.brand_id = :brand_id AND r.channels && :channels::integer[]
    AND (:number::integer IS NULL OR r.number = :number::integer)
    AND (:since::timestamptz IS NULL OR r.published_at >= :since::timestamptz)
    AND (:until::timestamptz IS NULL OR r.published_at < :until::timestamptz)
    AND (:campaign_id::uuid IS NULL OR p.campaign_id = :campaign_id::uuid)
    AND (:over_since::timestamptz IS NULL OR e.state IN ('ended', 'cancelled', 'failed')
        AND e.status_at >= :over_since::timestamptz AND e.status_at < :over_until::timestamptz)
    AND (NOT :is_going_on OR e.state IN ('planning', 'sending'))
ORDER BY r.number DESC
LIMIT :limit

-- name: tag_names
SELECT name FROM tag WHERE brand_id = :brand_id AND id = ANY(:tag_ids::uuid[]) ORDER BY name

-- name: held_out
-- Who of it was kept out of it to be compared with.
SELECT count(*)::integer FROM cast_member WHERE execution_id = :execution_id AND brand_id = :brand_id AND arm = 8

-- name: people_of_run
-- Whom it was for on these partner channels and who was not left out, with what may be told of each where it is asked for. A send is of
-- the channel whose sender its chunk has: two of one kind may share an execution.
SELECT c.external_id, p.number,
    CASE WHEN :with_attributes THEN jsonb_build_object(
        'Email', c.email, 'Phone', c.phone, 'PushTokens', array_to_string(c.push_tokens, ','), 'Locale', c.locale, 'TimeZone', c.time_zone
    ) END,
    CASE WHEN :with_attributes THEN c.attributes END
FROM send s
JOIN chunk k ON k.execution_id = s.execution_id AND k.number = s.chunk AND k.brand_id = :brand_id
JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id AND p.number = ANY(:numbers::integer[])
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id AND c.brand_id = :brand_id AND NOT c.anonymous
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.state = ANY(:states::smallint[])
    AND (:after::text IS NULL OR (c.external_id COLLATE "C", p.number) > (:after::text, :after_number::integer))
ORDER BY c.external_id COLLATE "C", p.number

-- name: channels_of_person
-- Those of these partner channels by which somebody was handed something in one of the executions.
SELECT DISTINCT p.number
FROM unnest(:execution_ids::uuid[]) AS n (execution_id)
JOIN send s
    ON s.execution_id = n.execution_id AND s.part = :part AND s.customer_id = :customer_id AND s.brand_id = :brand_id AND s.state = 2
JOIN chunk k ON k.execution_id = s.execution_id AND k.number = s.chunk AND k.brand_id = :brand_id
JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id AND p.number = ANY(:numbers::integer[])

-- name: runs_of_person
-- Those of the executions by which somebody was handed something, each a look at its own key.
SELECT n.execution_id
FROM unnest(:execution_ids::uuid[]) AS n (execution_id)
CROSS JOIN LATERAL (
    SELECT FROM send s
    JOIN chunk k ON k.execution_id = s.execution_id AND k.number = s.chunk AND k.brand_id = :brand_id
    JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id AND p.number = ANY(:numbers::integer[])
    WHERE s.execution_id = n.execution_id AND s.part = :part AND s.customer_id = :customer_id AND s.brand_id = :brand_id
        AND s.state = 2
    LIMIT 1
) s
