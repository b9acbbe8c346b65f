-- Making one of two people. Locks are taken as everybody takes them: addresses, then customers in id order, then what hangs on
-- them. The one who stays is :customer_id, the one who goes :other_id.

-- name: both
-- How the two stand, without a lock.
SELECT c.customer_id, c.external_id, c.created_at, c.email, encode(c.email_digest, 'hex') AS email_digest, c.phone,
    encode(c.phone_digest, 'hex') AS phone_digest, c.push_tokens, c.address_mask, c.valid_mask, c.agreed_mask,
    c.refused_mask, c.bounced_mask, c.complained_mask, c.shared_address, c.anonymous, c.break_until, c.locale,
    c.time_zone, c.attributes::text AS attributes
FROM customer c
WHERE c.brand_id = :brand_id
    AND (c.part = :part AND c.customer_id = :customer_id OR c.part = :other_part AND c.customer_id = :other_id)
ORDER BY c.part, c.customer_id

-- name: lock_both
-- The same, in id order. Waits for messages and events of them that are being taken in, which hold their keys.
SELECT c.customer_id, c.external_id, c.created_at, c.email, encode(c.email_digest, 'hex') AS email_digest, c.phone,
    encode(c.phone_digest, 'hex') AS phone_digest, c.push_tokens, c.address_mask, c.valid_mask, c.agreed_mask,
    c.refused_mask, c.bounced_mask, c.complained_mask, c.shared_address, c.anonymous, c.break_until, c.locale,
    c.time_zone, c.attributes::text AS attributes
FROM (
    SELECT u.part, u.customer_id
    FROM (VALUES (:part::smallint, :customer_id::uuid), (:other_part::smallint, :other_id::uuid)) AS u (part, customer_id)
    ORDER BY u.part, u.customer_id
) n
CROSS JOIN LATERAL (
    SELECT *
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
    FOR UPDATE
) c

-- name: keep_past
-- What the guard asked of both until now.
INSERT INTO customer_past (
    part, customer_id, until, brand_id, address_mask, valid_mask, bounced_mask, complained_mask, email_digest, phone_digest,
    place
)
SELECT c.part, c.customer_id, :now, c.brand_id, c.address_mask, c.valid_mask, c.bounced_mask, c.complained_mask,
    c.email_digest, c.phone_digest, c.place
FROM customer c
WHERE c.brand_id = :brand_id
    AND (c.part = :part AND c.customer_id = :customer_id OR c.part = :other_part AND c.customer_id = :other_id)

-- name: write_survivor
-- Answers with the size of the attributes.
UPDATE customer c
SET updated_at = :now, email = :email, email_digest = decode(:email_digest, 'hex'), phone = :phone,
    phone_digest = decode(:phone_digest, 'hex'), push_tokens = :push_tokens::text[], address_mask = :address_mask,
    valid_mask = :valid_mask, agreed_mask = :agreed_mask, refused_mask = :refused_mask, bounced_mask = :bounced_mask,
    complained_mask = :complained_mask, shared_address = :shared_address, locale = coalesce(c.locale, :locale),
    time_zone = coalesce(c.time_zone, :time_zone), attributes = :attributes::jsonb || c.attributes
WHERE c.part = :part AND c.customer_id = :customer_id AND c.brand_id = :brand_id
RETURNING octet_length(c.attributes::text)

-- name: subscriptions
-- Of each topic: the channels that the one who stays has, those of the other one, and both together without any that one of
-- them had and took back. What an erasure took away nobody chose.
SELECT s.topic_id, bit_or(s.channels) FILTER (WHERE s.customer_id = :customer_id) AS own,
    bit_or(s.channels) FILTER (WHERE s.customer_id = :other_id) AS others,
    bit_or(s.channels) & ~bit_or(s.withdrawn) AS after
FROM (
    SELECT r.topic_id, r.customer_id, r.channels, ~r.channels & coalesce((
        SELECT bit_or(e.channels)
        FROM consent_event e
        WHERE e.part = r.part AND e.customer_id = r.customer_id AND e.brand_id = :brand_id AND e.topic_id = r.topic_id
            AND e.kind = 'unsubscribed' AND e.source <> 'erasure'
    ), 0) AS withdrawn
    FROM subscription r
    WHERE r.brand_id = :brand_id
        AND (r.part = :part AND r.customer_id = :customer_id OR r.part = :other_part AND r.customer_id = :other_id)
) s
GROUP BY s.topic_id

-- name: drop_subscriptions
DELETE FROM subscription WHERE part = :other_part AND customer_id = :other_id AND brand_id = :brand_id

-- name: take_tags
INSERT INTO customer_tag (part, customer_id, tag_id, brand_id, place, tagged_at)
SELECT :part, :customer_id, t.tag_id, t.brand_id, t.place, t.tagged_at
FROM customer_tag t
WHERE t.part = :other_part AND t.customer_id = :other_id AND t.brand_id = :brand_id
ON CONFLICT (tag_id, part, customer_id) DO NOTHING

-- name: drop_tags
DELETE FROM customer_tag WHERE part = :other_part AND customer_id = :other_id AND brand_id = :brand_id

-- name: take_told
-- What happened to both under one name, time and id is one event.
INSERT INTO customer_event (part, customer_id, brand_id, at, event_id, name, properties)
SELECT :part, :customer_id, t.brand_id, t.at, t.event_id, t.name, t.properties
FROM customer_event t
WHERE t.part = :other_part AND t.customer_id = :other_id AND t.brand_id = :brand_id
ORDER BY t.event_id
ON CONFLICT (part, customer_id, name, at, event_id) DO NOTHING

-- name: drop_told
DELETE FROM customer_event WHERE part = :other_part AND customer_id = :other_id AND brand_id = :brand_id

-- name: take_contacts
-- What is on the wire counts from now on, and stays with the other one as well, where it is settled. Where both were written to
-- by one execution, the later one counts.
INSERT INTO contact (brand_id, part, channel, customer_id, execution_id, at, doubted_at, campaign_id, topic_id, tags)
SELECT k.brand_id, :part, k.channel, :customer_id, k.execution_id, CASE WHEN k.at = 'infinity' THEN :now ELSE k.at END,
    k.doubted_at, k.campaign_id, k.topic_id, k.tags
FROM contact k
WHERE k.part = :other_part AND k.customer_id = :other_id AND k.brand_id = :brand_id
ON CONFLICT (part, customer_id, execution_id, channel) DO UPDATE SET at = greatest(contact.at, excluded.at)

-- name: drop_contacts
DELETE FROM contact
WHERE part = :other_part AND customer_id = :other_id AND brand_id = :brand_id AND at <> 'infinity'

-- name: drop_other
DELETE FROM customer WHERE part = :other_part AND customer_id = :other_id AND brand_id = :brand_id

-- name: move_shown
-- Whom test sends were made of.
UPDATE send_context SET shown_as = :customer_id WHERE brand_id = :brand_id AND shown_as = :other_id

-- name: move_tombstones
UPDATE customer_merged SET merged_into = :customer_id WHERE brand_id = :brand_id AND merged_into = :other_id

-- name: add_tombstone
INSERT INTO customer_merged (part, customer_id, brand_id, external_id, merged_into, merged_at, created_at)
VALUES (:other_part, :other_id, :brand_id, :external_id, :customer_id, :now, :created_at)
