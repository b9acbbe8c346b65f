-- name: topics_to_plan
-- A topic_key is a topic's key or its id, matched exactly; the key wins where both exist.
SELECT k.wanted, t.id, t.key, t.enabled,
    (SELECT coalesce(sum(c.subscribers), 0) FROM topic_counter c WHERE c.topic_id = t.id AND c.brand_id = :brand_id)::integer
FROM unnest(:keys::text[]) AS k (wanted)
JOIN LATERAL (
    SELECT id, key, enabled
    FROM topic
    WHERE brand_id = :brand_id AND (key = k.wanted OR id::text = k.wanted)
    ORDER BY key = k.wanted DESC
    LIMIT 1
) t ON true

-- name: recipients
-- The people of a wave as they are now: flags, subscription, addresses and what templates may say of them.
SELECT w.ordinal::integer - 1, p.customer_id, p.refused_mask, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, p.shared_address,
    coalesce(p.break_until > :now, false),
    coalesce(s.channels, 0), p.external_id, p.email, p.email_digest, p.phone, p.phone_digest, p.push_tokens, p.locale,
    p.time_zone, p.attributes
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :topic_ids::uuid[]) WITH ORDINALITY
    AS w (part, customer_id, topic_id, ordinal)
JOIN customer p ON p.part = w.part AND p.customer_id = w.customer_id
LEFT JOIN subscription s
    ON s.topic_id = w.topic_id AND s.part = w.part AND s.customer_id = w.customer_id AND s.brand_id = :brand_id
WHERE p.brand_id = :brand_id

-- name: digests_then
-- What a person was until some time later than that, or else what they are.
SELECT n.place::integer - 1, d.email_digest, d.phone_digest
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :ats::timestamptz[]) WITH ORDINALITY AS n (part, customer_id, at, place)
CROSS JOIN LATERAL (
    (
        SELECT p.email_digest, p.phone_digest, p.until
        FROM customer_past p
        WHERE p.part = n.part AND p.customer_id = n.customer_id AND p.brand_id = :brand_id AND p.until > n.at
        ORDER BY p.until
        LIMIT 1
    )
    UNION ALL
    SELECT c.email_digest, c.phone_digest, NULL
    FROM customer c
    WHERE c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
    ORDER BY until NULLS LAST
    LIMIT 1
) d

-- name: lock_people
-- In the order of their keys, as everybody who locks several people does.
SELECT FROM customer c
JOIN unnest(:parts::smallint[], :customer_ids::uuid[]) AS e (part, customer_id)
    ON c.part = e.part AND c.customer_id = e.customer_id
WHERE c.brand_id = :brand_id
ORDER BY c.part, c.customer_id
FOR UPDATE OF c

-- name: keep_past
-- What the guard asks of these people, of those whom the next statement marks with something new.
INSERT INTO customer_past (
    part, customer_id, until, brand_id, address_mask, valid_mask, bounced_mask, complained_mask, email_digest, phone_digest,
    place, barred
)
SELECT DISTINCT ON (c.part, c.customer_id) c.part, c.customer_id, :now, c.brand_id, c.address_mask, c.valid_mask,
    c.bounced_mask, c.complained_mask, c.email_digest, c.phone_digest, c.place, true
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :digests::bytea[], :bounced::integer[], :complained::integer[])
    AS e (part, customer_id, digest, bounced, complained)
JOIN customer c ON c.part = e.part AND c.customer_id = e.customer_id
WHERE c.brand_id = :brand_id AND (e.digest IS NULL OR e.digest IN (c.email_digest, c.phone_digest))
    AND (e.bounced & ~c.bounced_mask <> 0 OR e.complained & ~c.complained_mask <> 0)

-- name: mark_people
-- Only while the address is still the one that was written to; a channel without digests has but one. With that address.
UPDATE customer c
SET bounced_mask = c.bounced_mask | e.bounced, complained_mask = c.complained_mask | e.complained, updated_at = :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :digests::bytea[], :bounced::integer[], :complained::integer[])
    AS e (part, customer_id, digest, bounced, complained)
WHERE c.part = e.part AND c.customer_id = e.customer_id AND c.brand_id = :brand_id
    AND (e.digest IS NULL OR e.digest IN (c.email_digest, c.phone_digest))
RETURNING e.digest, CASE e.digest WHEN c.email_digest THEN c.email WHEN c.phone_digest THEN c.phone END
