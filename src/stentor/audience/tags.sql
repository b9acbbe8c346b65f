-- Tags and who has them.

-- name: insert_tag
-- Does nothing when the name is taken, which the caller sees by the count.
INSERT INTO tag (id, brand_id, name, by_hand, created_at, updated_at)
VALUES (:id, :brand_id, :name, :by_hand, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: insert_dated_tag
-- Named after the minute, by the database's clock. Answers with nothing when the name is taken.
INSERT INTO tag (id, brand_id, name, created_at, updated_at)
VALUES (:id, :brand_id, concat_ws(' - ', :head::text, to_char(:now AT TIME ZONE 'UTC', 'YYYYMMDDHH24MI'), :mark::text), :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING
RETURNING id, name, created_at, updated_at

-- name: find_tag
SELECT id, name, created_at, updated_at FROM tag WHERE id = :id AND brand_id = :brand_id

-- name: lock_tag
-- FOR UPDATE waits for whoever is giving it to people right now, and makes who comes later find it gone.
SELECT id, name, created_at, updated_at FROM tag WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: hold_tag
-- Nobody can delete it before the transaction ends; others may hold it too.
SELECT true FROM tag WHERE id = :id AND brand_id = :brand_id FOR KEY SHARE

-- name: hold_tags
-- The same for several, in the order of their ids.
SELECT id FROM tag WHERE brand_id = :brand_id AND id = ANY(:ids::uuid[]) ORDER BY id FOR KEY SHARE

-- name: tags_by_id
SELECT id, name, created_at, updated_at FROM tag WHERE brand_id = :brand_id AND id = ANY(:ids::uuid[])

-- name: page_of_tags
-- The newest first.
SELECT id, name, created_at, updated_at
FROM tag
WHERE brand_id = :brand_id AND (:before::uuid IS NULL OR id < :before::uuid)
ORDER BY brand_id DESC, id DESC
LIMIT :limit

-- name: count_tags
SELECT count(*) FROM (SELECT FROM tag WHERE brand_id = :brand_id LIMIT :most) t

-- name: count_by_hand
-- Those that no batch made.
SELECT count(*)::integer FROM tag WHERE brand_id = :brand_id AND by_hand

-- name: count_tagged
SELECT count(*) FROM (SELECT FROM customer_tag WHERE tag_id = :tag_id AND brand_id = :brand_id LIMIT :most) t

-- name: delete_tag
DELETE FROM tag WHERE id = :id AND brand_id = :brand_id

-- name: tag_people
-- In key order, the order that every writer of people keeps. Who has the tag keeps the place where they stood first.
INSERT INTO customer_tag (part, customer_id, tag_id, brand_id, place, tagged_at)
SELECT n.part::smallint, n.customer_id::uuid, :tag_id, :brand_id, n.place::bigint, :now
FROM unnest(
        string_to_array(:parts, :separator), string_to_array(:customer_ids, :separator),
        string_to_array(:places, :separator)
    ) AS n (part, customer_id, place)
ORDER BY n.customer_id
ON CONFLICT (tag_id, part, customer_id) DO NOTHING

-- name: untag_people
DELETE FROM customer_tag t
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE t.tag_id = :tag_id AND t.part = n.part AND t.customer_id = n.customer_id AND t.brand_id = :brand_id

-- name: some_tagged
-- Some people of a tag that is to go.
SELECT part, customer_id FROM customer_tag WHERE tag_id = :tag_id AND brand_id = :brand_id LIMIT :limit

-- name: tagged_customers
-- The people of a tag in the order of their ids, from behind :after.
SELECT c.customer_id, c.external_id, c.email, c.phone, c.push_tokens, c.locale, c.time_zone, c.attributes, c.address_mask,
    c.valid_mask, c.agreed_mask, c.refused_mask, c.bounced_mask, c.complained_mask, c.shared_address,
    c.break_until, c.created_at, c.updated_at
FROM customer_tag t
JOIN customer c ON c.part = t.part AND c.customer_id = t.customer_id
WHERE t.tag_id = :tag_id AND (t.part, t.customer_id) > (:after_part::smallint, :after::uuid) AND t.brand_id = :brand_id
    AND c.brand_id = :brand_id
ORDER BY t.tag_id, t.part, t.customer_id
LIMIT :limit

-- name: in_order
-- The ids of the people of small tags, in the order in which they came.
SELECT n.tag_id, p.external_id, p.customer_id
FROM unnest(:tag_ids::uuid[]) AS n (tag_id)
CROSS JOIN LATERAL (
    SELECT c.external_id, t.customer_id, t.place
    FROM customer_tag t
    JOIN customer c ON c.part = t.part AND c.customer_id = t.customer_id
    WHERE t.tag_id = n.tag_id AND t.brand_id = :brand_id AND c.brand_id = :brand_id
    ORDER BY t.place, t.customer_id
    LIMIT :limit
) p
ORDER BY n.tag_id, p.place, p.customer_id

-- name: tags_of
SELECT tag_id FROM customer_tag WHERE part = :part AND customer_id = :customer_id AND brand_id = :brand_id
ORDER BY tag_id DESC
LIMIT :limit
