-- Subscriptions, channel flags and the ledger. Whoever changes a person's choices locks the person first, so that the
-- ledger tells the changes in the order in which they happened. Sets of keys are joined LATERAL, as in customers.sql.

-- name: subscribed_channels
-- The channels of these subscriptions, null where there never was one; people who do not exist are left out.
SELECT n.place::integer - 1, s.channels
FROM unnest(:topic_ids::uuid[], :parts::smallint[], :customer_ids::uuid[])
    WITH ORDINALITY AS n (topic_id, part, customer_id, place)
CROSS JOIN LATERAL (
    SELECT FROM customer WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id LIMIT 1
) c
LEFT JOIN LATERAL (
    SELECT channels
    FROM subscription
    WHERE topic_id = n.topic_id AND part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
) s ON true

-- name: lock_people
-- In id order, the order that every writer of people keeps.
-- Of a bare address nothing is kept longer than its last message, so it is told to nobody.
SELECT n.customer_id, c.agreed_mask, c.refused_mask, c.email_digest, c.phone_digest,
    CASE WHEN c.anonymous THEN NULL ELSE c.email END, CASE WHEN c.anonymous THEN NULL ELSE c.phone END
FROM (
    SELECT *
    FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS u (part, customer_id)
    ORDER BY u.part, u.customer_id
) n
CROSS JOIN LATERAL (
    SELECT agreed_mask, refused_mask, email_digest, phone_digest, anonymous, email, phone
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
    FOR NO KEY UPDATE
) c

-- name: write_subscriptions
-- The people are locked, so what is written here was computed from what is there.
INSERT INTO subscription (part, customer_id, topic_id, brand_id, channels, changed_at)
SELECT n.part, n.customer_id, n.topic_id, :brand_id, n.channels, :now
FROM unnest(:topic_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :channels::integer[])
    AS n (topic_id, part, customer_id, channels)
ORDER BY n.topic_id, n.part, n.customer_id
ON CONFLICT (topic_id, part, customer_id) DO UPDATE SET channels = excluded.channels, changed_at = excluded.changed_at

-- name: write_flags
UPDATE customer c
SET agreed_mask = n.agreed, refused_mask = n.refused, updated_at = :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :agreed::integer[], :refused::integer[])
    AS n (part, customer_id, agreed, refused)
WHERE c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id

-- name: append_events
INSERT INTO consent_event (
    part, customer_id, event_id, brand_id, at, kind, topic_id, channels, source, actor, ip, text_version, note
)
SELECT n.part, n.customer_id, n.event_id, :brand_id, :now, n.kind, n.topic_id, n.channels, :source, :actor, :ip::inet,
    :text_version, :note
FROM unnest(
        :parts::smallint[], :customer_ids::uuid[], :event_ids::uuid[], :kinds::text[], :topic_ids::uuid[],
        :channels::integer[]
    ) AS n (part, customer_id, event_id, kind, topic_id, channels)

-- name: set_break
-- No messages until then; without :until the break is over. Nothing where it is so already.
UPDATE customer
SET break_until = :until, updated_at = :now
WHERE part = :part AND customer_id = :customer_id AND brand_id = :brand_id
    AND (CASE WHEN break_until > :now THEN break_until END) IS DISTINCT FROM :until::timestamptz

-- name: append_break
INSERT INTO consent_event (
    part, customer_id, event_id, brand_id, at, kind, channels, source, actor, ip, text_version, note, until
)
VALUES (
    :part, :customer_id, :event_id, :brand_id, :now, CASE WHEN :until::timestamptz IS NULL THEN 'break_over' ELSE 'break' END,
    :channels, :source, :actor, :ip::inet, :text_version, :note, :until
)

-- name: choices_by_topic
-- What the ledger says of these people and topics, oldest first.
SELECT e.customer_id, e.topic_id, e.kind, e.channels, e.source
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT customer_id, topic_id, kind, channels, source, at, event_id
    FROM consent_event
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND topic_id = ANY(:topic_ids::uuid[])
    OFFSET 0
) e
ORDER BY e.at, e.event_id

-- name: last_yeses
-- When each of them last agreed to the channel.
SELECT n.place::integer - 1, y.at
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :channels::integer[]) WITH ORDINALITY AS n (part, customer_id, channels, place)
CROSS JOIN LATERAL (
    SELECT e.at
    FROM consent_event e
    WHERE e.part = n.part AND e.customer_id = n.customer_id AND e.brand_id = :brand_id AND e.kind = 'agreed'
        AND e.channels & n.channels <> 0
    ORDER BY e.at DESC
    LIMIT 1
) y

-- name: count_subscribers
-- Spread over shards, so that people who subscribe at the same moment rarely wait for each other.
INSERT INTO topic_counter (topic_id, shard, brand_id, subscribers)
SELECT n.topic_id, :shard, :brand_id, n.more
FROM unnest(:topic_ids::uuid[], :more::bigint[]) AS n (topic_id, more)
ORDER BY n.topic_id
ON CONFLICT (topic_id, shard) DO UPDATE SET subscribers = topic_counter.subscribers + excluded.subscribers

-- name: count_channels
INSERT INTO topic_channel (topic_id, channel, shard, brand_id, subscribers)
SELECT n.topic_id, n.channel, :shard, :brand_id, n.more
FROM unnest(:topic_ids::uuid[], :channels::smallint[], :more::bigint[]) AS n (topic_id, channel, more)
ORDER BY n.topic_id, n.channel
ON CONFLICT (topic_id, channel, shard) DO UPDATE SET subscribers = topic_channel.subscribers + excluded.subscribers

-- name: count_days
INSERT INTO topic_day (topic_id, day, shard, brand_id, gained, lost)
SELECT n.topic_id, (:now AT TIME ZONE 'UTC')::date, :shard, :brand_id, n.gained, n.lost
FROM unnest(:topic_ids::uuid[], :gained::bigint[], :lost::bigint[]) AS n (topic_id, gained, lost)
ORDER BY n.topic_id
ON CONFLICT (topic_id, day, shard)
    DO UPDATE SET gained = topic_day.gained + excluded.gained, lost = topic_day.lost + excluded.lost

-- name: subscriptions_of
SELECT s.topic_id, t.key AS topic_key, s.channels, s.changed_at
FROM subscription s
JOIN topic t ON t.id = s.topic_id AND t.brand_id = :brand_id
WHERE s.part = :part AND s.customer_id = :customer_id AND s.brand_id = :brand_id
ORDER BY t.key

-- name: page_of_subscribers
SELECT s.customer_id, c.external_id, s.channels, s.changed_at
FROM subscription s
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id
WHERE s.topic_id = :topic_id AND (s.part, s.customer_id) > (:after_part::smallint, :after::uuid) AND s.channels <> 0
    AND s.brand_id = :brand_id AND c.brand_id = :brand_id
ORDER BY s.topic_id, s.part, s.customer_id
LIMIT :limit

-- name: page_of_events
-- The newest first, by the database's clock: ids come from processes, whose clocks differ.
SELECT customer_id, event_id, at, kind, topic_id, channels, source, actor, ip, text_version, note, until
FROM consent_event
WHERE part = :part AND customer_id = :customer_id AND brand_id = :brand_id
    AND (
        :before::uuid IS NULL
        OR (at, event_id) < (
            SELECT b.at, b.event_id
            FROM consent_event b
            WHERE b.part = :part AND b.customer_id = :customer_id AND b.event_id = :before::uuid AND b.brand_id = :brand_id
        )
    )
ORDER BY at DESC, event_id DESC
LIMIT :limit
