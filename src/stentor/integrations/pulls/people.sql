-- The people of pulls: who is on a list, what is said of each, and that they were handed over.

-- name: go_by_scans
-- all brands: it touches no row. For a list of many: what they have in common is read through from end to end, and sorted in memory.
SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '96MB', true), set_config('jit', 'off', true)

-- name: everybody
-- Whom a list may hold, in its order: whoever waits for the pull or was handed over, and was not revoked. `asked`: what is keyed by the person
-- says yes, so that no more has to be asked about them than everybody's questions; the twin of guard/wave.py.
SELECT s.customer_id, s.part, s.chunk, s.variant, s.state,
    p.customer_id IS NOT NULL AND NOT p.shared_address
        AND (NOT :heeds_topic OR coalesce(a.channels, 0) & :channel_bit <> 0)
        AND person_objection(
            CASE WHEN :heeds_flags THEN p.refused_mask ELSE 0 END, p.complained_mask, p.bounced_mask, p.address_mask,
            p.valid_mask, :channel_bit
        ) = 0
        AND NOT (:heeds_flags AND coalesce(p.break_until > :now, false)) AS is_plain,
    CASE WHEN :with_places THEN coalesce(p.time_zone, left(p.phone, 5), '') END,
    CASE WHEN :with_addresses THEN CASE WHEN :channel = 1 THEN p.email ELSE p.phone END END,
    CASE WHEN :with_digests THEN CASE WHEN :channel = 1 THEN p.email_digest ELSE p.phone_digest END END
FROM send s
LEFT JOIN recipient p
    ON p.part = s.part AND p.customer_id = s.customer_id AND p.brand_id = :brand_id
        AND (:meant_at::timestamptz IS NULL OR p.created_at <= :meant_at::timestamptz)
LEFT JOIN topic_audience a
    ON a.topic_id = :topic_id::uuid AND a.part = s.part AND a.customer_id = s.customer_id AND a.brand_id = :brand_id
LEFT JOIN revocation r
    ON r.execution_id = s.execution_id AND r.part = s.part AND r.customer_id = s.customer_id AND r.brand_id = :brand_id
        AND r.channel_number = :channel_number
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.channel = :channel
    AND s.variant = ANY (:variants::smallint[]) AND s.state IN (0, 2) AND r.customer_id IS NULL
ORDER BY p.external_id COLLATE "C", s.customer_id

-- name: named
-- Some of them with all that the guard asks, whoever still stands as the list found them, in the order of their keys.
SELECT s.customer_id, s.chunk, s.variant, s.tries, s.doubts, s.state,
    p.refused_mask, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, p.shared_address,
    coalesce(p.break_until > :now, false),
    coalesce(a.channels, 0), p.external_id, p.email, p.email_digest, p.phone, p.phone_digest, NULL::text[], p.locale,
    p.time_zone, '{}'::jsonb
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN send s
    ON s.execution_id = :execution_id AND s.part = n.part AND s.customer_id = n.customer_id AND s.channel = :channel
        AND s.brand_id = :brand_id AND s.state IN (0, 2) AND s.variant = ANY (:variants::smallint[])
LEFT JOIN recipient p
    ON p.part = s.part AND p.customer_id = s.customer_id AND p.brand_id = :brand_id
        AND (:meant_at::timestamptz IS NULL OR p.created_at <= :meant_at::timestamptz)
LEFT JOIN topic_audience a
    ON a.topic_id = :topic_id::uuid AND a.part = s.part AND a.customer_id = s.customer_id AND a.brand_id = :brand_id
ORDER BY s.part, s.customer_id

-- name: insert_rows
-- The next rows of a list. What few templates and times there are comes once, and each row with its place among them, where there is
-- more than one.
INSERT INTO pull_row (execution_id, pull_id, customer_id, brand_id, scheduled_at, position, template, part, digest)
SELECT :execution_id, :pull_id, n.customer_id, :brand_id, (:schedules::timestamptz[])[coalesce(n.sort, 1)],
    :position_from + n.ordinal::integer - 1, (:templates::integer[])[coalesce(n.sort, 1)], n.part, n.digest
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :sorts::integer[], :digests::bytea[]) WITH ORDINALITY
    AS n (part, customer_id, sort, digest, ordinal)

-- name: everybody_on
-- Who is on a page, without whoever looked at them.
SELECT r.customer_id
FROM pull_row r
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.position >= :position_from AND r.position < :position_to

-- name: rows
-- A page as values. Whoever was erased, or made anew since, keeps the position and nothing else. Last, whether they are not as the list
-- found them: gone, or with another address.
SELECT r.position, r.customer_id, p.external_id, r.template, r.scheduled_at,
    CASE WHEN p.customer_id IS NULL THEN '{}' ELSE ARRAY(
        SELECT coalesce(CASE n.name WHEN 'Email' THEN p.email WHEN 'Phone' THEN p.phone WHEN 'Locale' THEN p.locale
            WHEN 'TimeZone' THEN p.time_zone WHEN 'PushTokens' THEN array_to_string(p.push_tokens, ',')
            ELSE p.attributes ->> n.name END, '')
        FROM unnest(:names::text[]) AS n (name)
    ) END AS attributes,
    p.customer_id IS NULL OR p.break_until > :now
        OR r.digest <> coalesce(substr(CASE WHEN :channel = 1 THEN p.email_digest ELSE p.phone_digest END, 1, 8), '')
FROM pull_row r
LEFT JOIN recipient p
    ON p.part = r.part AND p.customer_id = r.customer_id AND p.brand_id = :brand_id AND p.created_at <= :started_at::timestamptz
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.position >= :position_from AND r.position < :position_to
ORDER BY r.position

-- name: send_details
-- A page as the JSON of GetCustomerSendDetailsByChannel, without the brackets: to make it here costs a third of what it costs
-- to make a value of each row in Python. With :joined the attributes are one text, as they were before `/current`. Beside it, who is not
-- as the list found them: these people were read here anyway, and to ask for them by a statement of its own costs a third of a page more.
SELECT string_agg(
    '{"CustomerID":' || to_json(coalesce(p.external_id, ''))::text || ',"TemplateID":' || r.template
        || ',"ScheduledTime":"' || to_char(r.scheduled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '"'
        || CASE
            WHEN NOT :with_attributes THEN ''
            WHEN :joined THEN ',"CustomerAttribute":' || to_json(array_to_string(v.attributes, :delimiter::text))::text
            ELSE ',"CustomerAttributes":' || array_to_json(v.attributes)::text
        END || '}',
    ',' ORDER BY r.position
), array_agg(r.customer_id) FILTER (
    WHERE p.customer_id IS NULL OR p.break_until > :now
        OR r.digest <> coalesce(substr(CASE WHEN :channel = 1 THEN p.email_digest ELSE p.phone_digest END, 1, 8), '')
)
FROM pull_row r
LEFT JOIN recipient p
    ON p.part = r.part AND p.customer_id = r.customer_id AND p.brand_id = :brand_id AND p.created_at <= :started_at::timestamptz
CROSS JOIN LATERAL (
    SELECT CASE WHEN :with_attributes THEN ARRAY(
        SELECT coalesce(CASE n.name WHEN 'Email' THEN p.email WHEN 'Phone' THEN p.phone WHEN 'Locale' THEN p.locale
            WHEN 'TimeZone' THEN p.time_zone WHEN 'PushTokens' THEN array_to_string(p.push_tokens, ',')
            ELSE p.attributes ->> n.name END, '')
        FROM unnest(:names::text[]) AS n (name)
    ) END AS attributes
) v
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.position >= :position_from AND r.position < :position_to

-- name: execution_details
-- The same as GetCustomerExecutionDetailsByCampaign has it.
-- Of the campaign's promo codes those are said that there are.
SELECT string_agg(
    '{"CustomerID":' || to_json(coalesce(p.external_id, ''))::text || ',"ActionID":' || :action_number::text
        || ',"ChannelID":' || :channel_number::text || ',"TemplateID":' || r.template
        || ',"TemplateName":' || to_json(coalesce(:template_names::jsonb ->> r.template::text, ''))::text
        || ',"ScheduleTime":"' || to_char(r.scheduled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        || '","PromoCode":' || to_json(coalesce(o.codes, ''))::text
        || CASE
            WHEN NOT :with_attributes THEN ''
            WHEN :joined THEN ',"CustomerAttribute":' || to_json(array_to_string(v.attributes, :delimiter::text))::text
            ELSE ',"CustomerAttributes":' || array_to_json(v.attributes)::text
        END || '}',
    ',' ORDER BY r.position
), array_agg(r.customer_id) FILTER (
    WHERE p.customer_id IS NULL OR p.break_until > :now
        OR r.digest <> coalesce(substr(CASE WHEN :channel = 1 THEN p.email_digest ELSE p.phone_digest END, 1, 8), '')
)
FROM pull_row r
LEFT JOIN recipient p
    ON p.part = r.part AND p.customer_id = r.customer_id AND p.brand_id = :brand_id AND p.created_at <= :started_at::timestamptz
CROSS JOIN LATERAL (
    SELECT CASE WHEN :with_attributes THEN ARRAY(
        SELECT coalesce(CASE n.name WHEN 'Email' THEN p.email WHEN 'Phone' THEN p.phone WHEN 'Locale' THEN p.locale
            WHEN 'TimeZone' THEN p.time_zone WHEN 'PushTokens' THEN array_to_string(p.push_tokens, ',')
            ELSE p.attributes ->> n.name END, '')
        FROM unnest(:names::text[]) AS n (name)
    ) END AS attributes
) v
CROSS JOIN (
    SELECT string_agg(o.code, ',' ORDER BY c.place) AS codes
    FROM unnest(:promo_codes::text[]) WITH ORDINALITY AS c (code, place)
    JOIN promotion o ON o.brand_id = :brand_id AND o.code = c.code
) o
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.position >= :position_from AND r.position < :position_to

-- name: campaign_details
-- The same as GetCustomerSendDetailsByCampaign has it.
SELECT string_agg(
    '{"CustomerID":' || to_json(coalesce(p.external_id, ''))::text || ',"ChannelID":' || :channel_number::text
        || ',"ScheduledTime":"' || to_char(r.scheduled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '","SendID":'
        || to_json(:send_prefix || r.template)::text || CASE WHEN :with_templates THEN ',"TemplateID":' || r.template ELSE '' END || '}',
    ',' ORDER BY r.position
), array_agg(r.customer_id) FILTER (
    WHERE p.customer_id IS NULL OR p.break_until > :now
        OR r.digest <> coalesce(substr(CASE WHEN :channel = 1 THEN p.email_digest ELSE p.phone_digest END, 1, 8), '')
)
FROM pull_row r
LEFT JOIN recipient p
    ON p.part = r.part AND p.customer_id = r.customer_id AND p.brand_id = :brand_id AND p.created_at <= :started_at::timestamptz
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.position >= :position_from AND r.position < :position_to

-- name: hand_over
-- Whoever on the pages still waits for them. In chunks that are held: what was cancelled meanwhile is not.
-- In the order of their keys, so that each page of the table is met once.
-- planned anew: a thousand chunks are looked up by a hash where they are known when it is planned, and one after the other where not.
UPDATE send s
SET state = 2, tries = s.tries + 1, decided_at = :now
FROM (
    SELECT o.part, o.customer_id, o.position
    FROM pull_row o
    WHERE o.execution_id = :execution_id AND o.pull_id = :pull_id AND o.brand_id = :brand_id
        AND o.position >= :position_from AND o.position < :position_to
    ORDER BY o.part, o.customer_id
) r
WHERE s.execution_id = :execution_id AND s.part = r.part AND s.customer_id = r.customer_id AND s.channel = :channel
    AND s.brand_id = :brand_id AND s.state = 0 AND s.chunk = ANY (:chunks::integer[])
RETURNING r.position, CASE WHEN :with_people THEN s.customer_id END

-- name: sent_after_all
-- Whom the page reached although their execution was over, and they were, or are, let go to be skipped for that.
SELECT s.customer_id
FROM pull_row r
JOIN send s
    ON s.execution_id = r.execution_id AND s.part = r.part AND s.customer_id = r.customer_id AND s.channel = :channel
        AND s.brand_id = :brand_id AND (s.state = 0 OR s.state = 3 AND s.reason = ANY (:over_reasons::smallint[]))
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.position >= :position_from AND r.position < :position_to

-- name: position_of
-- Where somebody is on these lists. It reads through each, by its key alone: 0.1 s for a million people.
SELECT r.pull_id, r.position
FROM pull_row r
WHERE r.execution_id = :execution_id AND r.pull_id = ANY (:pull_ids::uuid[]) AND r.brand_id = :brand_id AND r.part = :part
    AND r.customer_id = :customer_id

-- name: times_on
-- It reads through the list, by its key alone: under limits per hour, some thousand people at a time ask.
SELECT r.customer_id, r.scheduled_at
FROM pull_row r
WHERE r.execution_id = :execution_id AND r.pull_id = :pull_id AND r.brand_id = :brand_id
    AND r.customer_id = ANY (:customer_ids::uuid[])

-- name: drop_rows
DELETE FROM pull_row r
USING (
    SELECT o.execution_id, o.pull_id, o.position, o.part, o.customer_id
    FROM pull_row o
    WHERE o.execution_id = :execution_id AND o.pull_id = :pull_id AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE r.execution_id = o.execution_id AND r.pull_id = o.pull_id AND r.position = o.position AND r.part = o.part
    AND r.customer_id = o.customer_id AND r.brand_id = :brand_id

-- name: not_handed_over
-- Who of these parts was never handed over. Only runs under caps ask, when they are over.
SELECT s.customer_id
FROM send s
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.part >= :part_from AND s.part < :part_to
    AND s.channel = :channel AND s.state <> 2
