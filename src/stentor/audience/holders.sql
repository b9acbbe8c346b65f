-- Who has an address. Look-ups of addresses and of people are statements of their own: the two are never joined.

-- name: owners_of
-- As in customers.sql, the first :emails of the digests are of e-mail addresses, the others of phone numbers.
SELECT u.place::integer - 1, o.customers
FROM unnest(string_to_array(:digests, :separator)) WITH ORDINALITY AS u (digest, place)
CROSS JOIN LATERAL (SELECT decode(u.digest, 'hex') AS digest) d
CROSS JOIN LATERAL (
    SELECT customers
    FROM address_owner
    WHERE shard = (get_byte(d.digest, 0) << 4 | get_byte(d.digest, 1) >> 4)::smallint AND brand_id = :brand_id
        AND channel = CASE WHEN u.place <= :emails THEN 1 ELSE 2 END::smallint AND digest = d.digest
    LIMIT 1
) o

-- name: holders
-- What makes people who have an address the same person as another, and what they refused.
SELECT n.customer_id, c.external_id, encode(c.email_digest, 'hex'), encode(c.phone_digest, 'hex'), c.refused_mask,
    c.anonymous
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT external_id, email_digest, phone_digest, refused_mask, anonymous
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
) c

-- name: assert_consent
-- What is said of people whom this transaction made or locked: nobody else changes what they chose meanwhile.
INSERT INTO consent_event (
    part, customer_id, event_id, brand_id, at, kind, topic_id, channels, source, actor, ip, text_version, note
)
SELECT n.part::smallint, n.customer_id::uuid, n.event_id::uuid, :brand_id, :now, :kind, NULL, n.channels::integer, :source,
    :actor, :ip::inet, :text_version, :note
FROM unnest(
        string_to_array(:parts, :separator), string_to_array(:customer_ids, :separator),
        string_to_array(:event_ids, :separator), string_to_array(:channels, :separator)
    ) AS n (part, customer_id, event_id, channels)

-- name: refuse
-- Of people whom this transaction made or locked: others at their new address had refused these channels.
UPDATE customer c
SET agreed_mask = c.agreed_mask & ~n.channels, refused_mask = c.refused_mask | n.channels, updated_at = :now
FROM unnest(
        string_to_array(:parts, :separator)::smallint[], string_to_array(:customer_ids, :separator)::uuid[],
        string_to_array(:channels, :separator)::integer[]
    ) AS n (part, customer_id, channels)
WHERE c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
