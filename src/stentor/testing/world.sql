-- name: add_organisation
-- all brands: the owner of the brand that a test is about to make.
INSERT INTO organisation (id, name, created_at) VALUES (:organisation_id, 'Organisation', :now)

-- name: add_brand
INSERT INTO brand (id, organisation_id, name, brand_key, created_at, updated_at)
VALUES (:brand_id, :organisation_id, :name, :brand_key, :now, :now)

-- name: set_settings
UPDATE brand SET settings = :settings, updated_at = :now WHERE id = :brand_id

-- name: set_policy
UPDATE brand SET settings = settings || jsonb_build_object('policy', :policy::jsonb) WHERE id = :brand_id

-- name: add_topic
INSERT INTO topic (id, brand_id, key, name, channels, created_at, updated_at)
VALUES (:topic_id, :brand_id, :key, :key, :channels, :now, :now)

-- name: add_people
INSERT INTO customer (part, customer_id, brand_id, external_id, created_at, updated_at, address_mask, valid_mask, refused_mask,
    bounced_mask, complained_mask, shared_address, email, email_digest, locale, time_zone, phone, phone_digest,
    attributes)
SELECT p.part, p.customer_id, :brand_id, p.external_id, :now, :now, p.address_mask, p.valid_mask, p.refused_mask,
    p.bounced_mask, p.complained_mask, p.shared_address, p.email, p.email_digest, p.locale, p.time_zone, p.phone,
    p.phone_digest, '{}'
FROM unnest(
        :parts::smallint[], :customer_ids::uuid[], :external_ids::text[], :address_masks::integer[], :valid_masks::integer[],
        :refused_masks::integer[], :bounced_masks::integer[], :complained_masks::integer[], :shared::boolean[],
        :emails::text[], :digests::bytea[], :locales::text[], :time_zones::text[], :phones::text[],
        :phone_digests::bytea[]
    ) AS p (part, customer_id, external_id, address_mask, valid_mask, refused_mask, bounced_mask, complained_mask,
        shared_address, email, email_digest, locale, time_zone, phone, phone_digest)

-- name: note_refusals
INSERT INTO consent_event (part, customer_id, event_id, brand_id, at, kind, channels, source)
SELECT p.part, p.customer_id, gen_random_uuid(), :brand_id, :now, 'refused', p.refused_mask, 'one_click'
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :refused_masks::integer[]) AS p (part, customer_id, refused_mask)
WHERE p.refused_mask <> 0

-- name: note_choices
INSERT INTO consent_event (part, customer_id, event_id, brand_id, at, kind, topic_id, channels, source)
SELECT n.part, n.customer_id, gen_random_uuid(), :brand_id, :now, k.kind, :topic_id, k.channels, 'api'
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :channels::integer[]) AS n (part, customer_id, channels)
LEFT JOIN subscription s
    ON s.topic_id = :topic_id AND s.part = n.part AND s.customer_id = n.customer_id AND s.brand_id = :brand_id
CROSS JOIN LATERAL (
    VALUES ('subscribed', n.channels & ~coalesce(s.channels, 0)), ('unsubscribed', coalesce(s.channels, 0) & ~n.channels)
) AS k (kind, channels)
WHERE k.channels <> 0

-- name: subscribe
INSERT INTO subscription (part, customer_id, topic_id, brand_id, channels, changed_at)
SELECT s.part, s.customer_id, :topic_id, :brand_id, s.channels, :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :channels::integer[]) AS s (part, customer_id, channels)
ON CONFLICT (topic_id, part, customer_id) DO UPDATE SET channels = excluded.channels

-- name: count_subscribers
INSERT INTO topic_counter (topic_id, shard, brand_id, subscribers)
VALUES (:topic_id, 0, :brand_id, :subscribers)
ON CONFLICT (topic_id, shard) DO UPDATE SET subscribers = topic_counter.subscribers + excluded.subscribers

-- name: add_campaign
INSERT INTO campaign (id, brand_id, name, consent_basis, mode, lane, routes, created_at, updated_at)
VALUES (:campaign_id, :brand_id, :name, 'topic', :mode, :lane, '[]', :now, :now)

-- name: add_publication
INSERT INTO publication (id, brand_id, campaign_id, content, created_at)
VALUES (:publication_id, :brand_id, :campaign_id, :content, :now)

-- name: add_execution
INSERT INTO execution (id, brand_id, publication_id, topic_key, context, lane, is_test, state, created_at, status_at, deadline_at,
    audience, awaits_cast, per_hour)
SELECT :execution_id, p.brand_id, p.id, :topic_key, :context,
    CASE p.content ->> 'lane' WHEN 'transactional' THEN 0 WHEN 'alert' THEN 1 ELSE 2 END, :is_test, 'queued', :now, :now,
    :now + make_interval(secs => :deadline_s::integer), :audience, :audience::jsonb IS NOT NULL, :per_hour
FROM publication p
WHERE p.id = :publication_id AND p.brand_id = :brand_id

-- name: states
SELECT c.external_id, s.channel, s.state, s.reason, s.variant
FROM send s
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND c.brand_id = :brand_id
ORDER BY c.external_id, s.channel

-- name: add_tag
INSERT INTO tag (id, brand_id, name, created_at, updated_at) VALUES (:id, :brand_id, :name, :now, :now)

-- name: tag_people
INSERT INTO customer_tag (part, customer_id, tag_id, brand_id, place, tagged_at)
SELECT n.part, n.customer_id, :tag_id, :brand_id, 0, :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)

-- name: add_listener
INSERT INTO sender (id, brand_id, name, channel, kind, settings, enabled, created_at, updated_at)
VALUES (:sender_id, :brand_id, :name, :channel::smallint, 'listener', '{}', true, :now, :now)

-- name: add_partner_channel
INSERT INTO partner_channel (brand_id, number, name, channel, sender_id, created_at, updated_at)
VALUES (:brand_id, :number, 'Partner', :channel::smallint, :sender_id, :now, :now)

-- name: add_partner_template
INSERT INTO partner_template (brand_id, channel_number, number, id, name, created_at, updated_at)
VALUES (:brand_id, :number, :template, :id, :name, :now, :now)
