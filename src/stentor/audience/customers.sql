-- Customers, by the column. Each column of rows travels as one text, its values joined by :separator and nothing standing
-- for null: as arrays, writing 5,000 people down for the wire took a quarter of an import's time.
--
-- Sets of keys are joined LATERAL with a LIMIT, which makes each key one look-up in the index. As a plain join, the planner
-- read all people of the brand for each key: it knows nothing of a table that was filled a moment ago.

-- name: known_customers
-- Which of these people exist, with null, and which of the others were merged into whom. Most brands never merge: then nobody is
-- looked for.
SELECT n.place::integer - 1, m.merged_into
FROM unnest(string_to_array(:parts, :separator)::smallint[], string_to_array(:customer_ids, :separator)::uuid[])
    WITH ORDINALITY AS n (part, customer_id, place)
LEFT JOIN LATERAL (
    SELECT true AS is_there
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
) c ON true
LEFT JOIN LATERAL (
    SELECT merged_into
    FROM customer_merged
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND c.is_there IS NULL
        AND EXISTS (SELECT FROM customer_merged WHERE brand_id = :brand_id)
    LIMIT 1
) m ON true
WHERE c.is_there OR m.merged_into IS NOT NULL

-- name: survivors_of
-- Whom those of these people were merged into who were. Most brands never merge: then nobody is looked for.
SELECT n.customer_id, m.merged_into
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT merged_into
    FROM customer_merged
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
) m
WHERE EXISTS (SELECT FROM customer_merged WHERE brand_id = :brand_id)

-- name: survivor_of
-- Whom this person was merged into.
SELECT merged_into FROM customer_merged WHERE part = :part AND customer_id = :customer_id AND brand_id = :brand_id

-- name: compare_customers
-- How people who exist stand to what was said of them: the digests they have, whether anything would change, and how
-- large their attributes would become.
SELECT n.place::integer - 1, encode(c.email_digest, 'hex'), encode(c.phone_digest, 'hex'),
    n.given::integer & 1 <> 0 AND n.email IS DISTINCT FROM c.email
        OR n.given::integer & 2 <> 0 AND n.phone IS DISTINCT FROM c.phone
        OR n.given::integer & 4 <> 0 AND coalesce(string_to_array(n.push_tokens, ','), '{}') <> c.push_tokens
        OR n.given::integer & 8 <> 0 AND n.locale IS DISTINCT FROM c.locale
        OR n.given::integer & 16 <> 0 AND n.time_zone IS DISTINCT FROM c.time_zone
        OR n.given::integer & 32 <> 0 AND a.merged <> c.attributes,
    CASE WHEN n.given::integer & 32 <> 0 THEN octet_length(a.merged::text) ELSE 0 END
FROM unnest(
        string_to_array(:parts, :separator), string_to_array(:customer_ids, :separator),
        string_to_array(:given, :separator), string_to_array(:emails, :separator, ''),
        string_to_array(:phones, :separator, ''), string_to_array(:push_tokens, :separator, ''),
        string_to_array(:locales, :separator, ''), string_to_array(:time_zones, :separator, ''),
        string_to_array(:attributes, :separator), string_to_array(:removed, :separator, '')
    ) WITH ORDINALITY
    AS n (part, customer_id, given, email, phone, push_tokens, locale, time_zone, attributes, removed, place)
CROSS JOIN LATERAL (
    SELECT email, email_digest, phone, phone_digest, push_tokens, locale, time_zone, attributes
    FROM customer
    WHERE part = n.part::smallint AND customer_id = n.customer_id::uuid AND brand_id = :brand_id
    LIMIT 1
) c
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN n.given::integer & 64 <> 0 THEN n.attributes::jsonb
        WHEN n.removed IS NULL THEN c.attributes || n.attributes::jsonb
        ELSE c.attributes - ARRAY(SELECT jsonb_array_elements_text(n.removed::jsonb)) || n.attributes::jsonb
    END AS merged
) a

-- name: go_by_keys
-- all brands: it touches no row
-- The same for statements that cannot be written so, for the rest of the transaction.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true),
    set_config('enable_seqscan', 'off', true)

-- name: lock_addresses
-- Before owners leave: every row that this upsert touches, in key order, so that two upserts never wait crosswise. As in
-- the statements below, the first :emails of the digests are of e-mail addresses, the others of phone numbers.
SELECT true
FROM (
    SELECT (get_byte(d.digest, 0) << 4 | get_byte(d.digest, 1) >> 4)::smallint AS shard,
        CASE WHEN u.place <= :emails THEN 1 ELSE 2 END::smallint AS channel, d.digest
    FROM unnest(string_to_array(:digests, :separator)) WITH ORDINALITY AS u (digest, place)
    CROSS JOIN LATERAL (SELECT decode(u.digest, 'hex') AS digest) d
    ORDER BY shard, channel, d.digest
) n
CROSS JOIN LATERAL (
    SELECT
    FROM address_owner
    WHERE shard = n.shard AND brand_id = :brand_id AND channel = n.channel AND digest = n.digest
    LIMIT 1
    FOR UPDATE
) o

-- name: take_addresses
-- Enters the owners, in key order, and answers with the owners of each address that more than one has. Of an address with
-- very many owners only the newest :owners_max are kept: all the others are marked as sharing it already.
WITH entered AS (
    INSERT INTO address_owner (shard, brand_id, channel, digest, customers)
    SELECT (get_byte(d.digest, 0) << 4 | get_byte(d.digest, 1) >> 4)::smallint AS shard, :brand_id,
        CASE WHEN u.place <= :emails THEN 1 ELSE 2 END::smallint AS channel, d.digest,
        string_to_array(u.customers, ',')::uuid[]
    FROM unnest(string_to_array(:digests, :separator), string_to_array(:customers, :separator))
        WITH ORDINALITY AS u (digest, customers, place)
    CROSS JOIN LATERAL (SELECT decode(u.digest, 'hex') AS digest) d
    ORDER BY shard, channel, d.digest
    ON CONFLICT (shard, brand_id, channel, digest) DO UPDATE
    SET customers = (address_owner.customers || excluded.customers)[
            greatest(1, cardinality(address_owner.customers) + cardinality(excluded.customers) - :owners_max + 1):
        ]
    WHERE NOT address_owner.customers @> excluded.customers
    RETURNING customers
)
SELECT customers FROM entered WHERE cardinality(customers) > 1

-- name: leave_addresses
-- An address that loses its last owner has no row; that is the next statement's part.
UPDATE address_owner o
SET customers = ARRAY(SELECT c FROM unnest(o.customers) AS c WHERE c <> ALL (n.customers))
FROM (
    SELECT (get_byte(d.digest, 0) << 4 | get_byte(d.digest, 1) >> 4)::smallint AS shard,
        CASE WHEN u.place <= :emails THEN 1 ELSE 2 END::smallint AS channel, d.digest,
        string_to_array(u.customers, ',')::uuid[] AS customers
    FROM unnest(string_to_array(:digests, :separator), string_to_array(:customers, :separator))
        WITH ORDINALITY AS u (digest, customers, place)
    CROSS JOIN LATERAL (SELECT decode(u.digest, 'hex') AS digest) d
) n
WHERE o.shard = n.shard AND o.brand_id = :brand_id AND o.channel = n.channel AND o.digest = n.digest
    AND o.customers && n.customers AND NOT o.customers <@ n.customers

-- name: free_addresses
DELETE FROM address_owner o
USING (
    SELECT (get_byte(d.digest, 0) << 4 | get_byte(d.digest, 1) >> 4)::smallint AS shard,
        CASE WHEN u.place <= :emails THEN 1 ELSE 2 END::smallint AS channel, d.digest,
        string_to_array(u.customers, ',')::uuid[] AS customers
    FROM unnest(string_to_array(:digests, :separator), string_to_array(:customers, :separator))
        WITH ORDINALITY AS u (digest, customers, place)
    CROSS JOIN LATERAL (SELECT decode(u.digest, 'hex') AS digest) d
) n
WHERE o.shard = n.shard AND o.brand_id = :brand_id AND o.channel = n.channel AND o.digest = n.digest
    AND o.customers <@ n.customers

-- name: lock_customers
-- In id order, and after the addresses: the order that every upsert keeps.
SELECT n.customer_id, encode(c.email_digest, 'hex'), encode(c.phone_digest, 'hex')
FROM (
    SELECT *
    FROM unnest(string_to_array(:parts, :separator)::smallint[], string_to_array(:customer_ids, :separator)::uuid[])
        AS u (part, customer_id)
    ORDER BY u.part, u.customer_id
) n
CROSS JOIN LATERAL (
    SELECT email_digest, phone_digest
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
    FOR NO KEY UPDATE
) c

-- name: insert_customers
-- In id order. There is no ON CONFLICT: it would cost a fifth more, and a person who is being made by another transaction
-- right now makes this one start again.
INSERT INTO customer (
    part, customer_id, brand_id, external_id, created_at, updated_at, address_mask, valid_mask, agreed_mask, email,
    email_digest, phone, phone_digest, push_tokens, locale, time_zone, attributes
)
SELECT n.part::smallint, n.customer_id::uuid, :brand_id, n.external_id, :now, :now,
    n.addresses::integer | :addressless, n.valid::integer | :addressless, n.valid::integer & :asserted, n.email, decode(n.email_digest, 'hex'), n.phone,
    decode(n.phone_digest, 'hex'), coalesce(string_to_array(n.push_tokens, ','), '{}'), n.locale, n.time_zone,
    n.attributes::jsonb
FROM unnest(
        string_to_array(:parts, :separator), string_to_array(:customer_ids, :separator),
        string_to_array(:external_ids, :separator), string_to_array(:addresses, :separator),
        string_to_array(:valid, :separator), string_to_array(:emails, :separator, ''),
        string_to_array(:email_digests, :separator, ''), string_to_array(:phones, :separator, ''),
        string_to_array(:phone_digests, :separator, ''), string_to_array(:push_tokens, :separator, ''),
        string_to_array(:locales, :separator, ''), string_to_array(:time_zones, :separator, ''),
        string_to_array(:attributes, :separator)
    ) AS n (
        part, customer_id, external_id, addresses, valid, email, email_digest, phone, phone_digest, push_tokens, locale,
        time_zone, attributes
    )
ORDER BY n.customer_id

-- name: keep_past
-- What the guard asks of these people, of those of whom it will hear something else. Under their locks.
INSERT INTO customer_past (
    part, customer_id, until, brand_id, address_mask, valid_mask, bounced_mask, complained_mask, email_digest, phone_digest,
    place
)
SELECT c.part, c.customer_id, :now, c.brand_id, c.address_mask, c.valid_mask, c.bounced_mask, c.complained_mask,
    c.email_digest, c.phone_digest, c.place
FROM unnest(
        string_to_array(:parts, :separator), string_to_array(:customer_ids, :separator),
        string_to_array(:given, :separator), string_to_array(:touched, :separator),
        string_to_array(:addresses, :separator), string_to_array(:valid, :separator),
        string_to_array(:renewed, :separator), string_to_array(:time_zones, :separator, '')
    ) AS n (part, customer_id, given, touched, addresses, valid, renewed, time_zone)
JOIN customer c ON c.part = n.part::smallint AND c.customer_id = n.customer_id::uuid
WHERE c.brand_id = :brand_id AND (
    n.renewed::integer <> 0 OR c.address_mask & n.touched::integer <> n.addresses::integer
    OR c.valid_mask & n.touched::integer <> n.valid::integer
    OR n.given::integer & 16 <> 0 AND n.time_zone IS DISTINCT FROM c.time_zone
)

-- name: update_customers
-- What was not said is kept. An address that is another one now starts clean on its channels (:renewed).
UPDATE customer c
SET updated_at = :now,
    address_mask = c.address_mask & ~n.touched::integer | n.addresses::integer,
    valid_mask = c.valid_mask & ~n.touched::integer | n.valid::integer,
    bounced_mask = c.bounced_mask & ~n.renewed::integer,
    complained_mask = c.complained_mask & ~n.renewed::integer,
    email = CASE WHEN n.given::integer & 1 <> 0 THEN n.email ELSE c.email END,
    email_digest = CASE WHEN n.given::integer & 1 <> 0 THEN decode(n.email_digest, 'hex') ELSE c.email_digest END,
    phone = CASE WHEN n.given::integer & 2 <> 0 THEN n.phone ELSE c.phone END,
    phone_digest = CASE WHEN n.given::integer & 2 <> 0 THEN decode(n.phone_digest, 'hex') ELSE c.phone_digest END,
    push_tokens = CASE
        WHEN n.given::integer & 4 <> 0 THEN coalesce(string_to_array(n.push_tokens, ','), '{}')
        ELSE c.push_tokens
    END,
    locale = CASE WHEN n.given::integer & 8 <> 0 THEN n.locale ELSE c.locale END,
    time_zone = CASE WHEN n.given::integer & 16 <> 0 THEN n.time_zone ELSE c.time_zone END,
    attributes = CASE
        WHEN n.given::integer & 64 <> 0 THEN n.attributes::jsonb
        WHEN n.removed IS NULL THEN c.attributes || n.attributes::jsonb
        ELSE c.attributes - ARRAY(SELECT jsonb_array_elements_text(n.removed::jsonb)) || n.attributes::jsonb
    END
FROM unnest(
        string_to_array(:parts, :separator), string_to_array(:customer_ids, :separator),
        string_to_array(:given, :separator), string_to_array(:touched, :separator),
        string_to_array(:addresses, :separator), string_to_array(:valid, :separator),
        string_to_array(:renewed, :separator), string_to_array(:emails, :separator, ''),
        string_to_array(:email_digests, :separator, ''), string_to_array(:phones, :separator, ''),
        string_to_array(:phone_digests, :separator, ''), string_to_array(:push_tokens, :separator, ''),
        string_to_array(:locales, :separator, ''), string_to_array(:time_zones, :separator, ''),
        string_to_array(:attributes, :separator), string_to_array(:removed, :separator, '')
    ) AS n (
        part, customer_id, given, touched, addresses, valid, renewed, email, email_digest, phone, phone_digest, push_tokens,
        locale, time_zone, attributes, removed
    )
WHERE c.part = n.part::smallint AND c.customer_id = n.customer_id::uuid AND c.brand_id = :brand_id

-- name: mark_shared
-- The people of an address that several have. It is never taken back: it only means one more look-up per message.
UPDATE customer c
SET shared_address = true
FROM unnest(string_to_array(:parts, :separator)::smallint[], string_to_array(:customer_ids, :separator)::uuid[])
    AS n (part, customer_id)
WHERE c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id AND NOT c.shared_address

-- name: customer_by_id
SELECT customer_id, external_id, email, phone, push_tokens, locale, time_zone, attributes, address_mask, valid_mask,
    agreed_mask, refused_mask, bounced_mask, complained_mask, shared_address, break_until, created_at, updated_at
FROM customer
WHERE part = :part AND customer_id = :customer_id AND brand_id = :brand_id

-- name: customers_by_id
SELECT c.*
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT customer_id, external_id, email, phone, push_tokens, locale, time_zone, attributes, address_mask, valid_mask,
        agreed_mask, refused_mask, bounced_mask, complained_mask, shared_address, break_until, created_at, updated_at
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
) c

-- name: count_customers
SELECT count(*) FROM (SELECT FROM customer WHERE brand_id = :brand_id AND NOT anonymous LIMIT :most) c

-- name: end_of_slice
-- The last of so many people behind somebody, from the index alone; none where fewer are left.
SELECT customer_id
FROM customer
WHERE brand_id = :brand_id AND NOT anonymous AND (part, customer_id) > (:after_part::smallint, :after::uuid)
ORDER BY brand_id, part, customer_id
OFFSET :people - 1 LIMIT 1

-- name: named_customers
-- Whose name has that in it, of the people behind one and up to another. An index on names would be written for everybody, and
-- names are looked for by hand.
SELECT customer_id, external_id, email, phone, push_tokens, locale, time_zone, attributes, address_mask, valid_mask,
    agreed_mask, refused_mask, bounced_mask, complained_mask, shared_address, break_until, created_at, updated_at
FROM customer
WHERE brand_id = :brand_id AND NOT anonymous AND (part, customer_id) > (:after_part::smallint, :after::uuid)
    AND (part, customer_id) <= (:last_part::smallint, :last::uuid)
    AND strpos(lower(concat_ws(' ', attributes ->> 'first_name', attributes ->> 'last_name')), lower(:name)) > 0
ORDER BY brand_id, part, customer_id
LIMIT :limit

-- name: page_of_customers
-- part is the beginning of the id, so this is id order.
SELECT customer_id, external_id, email, phone, push_tokens, locale, time_zone, attributes, address_mask, valid_mask,
    agreed_mask, refused_mask, bounced_mask, complained_mask, shared_address, break_until, created_at, updated_at
FROM customer
WHERE brand_id = :brand_id AND NOT anonymous AND (part, customer_id) > (:after_part::smallint, :after::uuid)
ORDER BY brand_id, part, customer_id
LIMIT :limit
