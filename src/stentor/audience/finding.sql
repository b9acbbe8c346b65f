-- Looking for people by hand: so many at a time, so that no look is ever one long statement.

-- name: narrowed
-- Of the people behind one and up to another those whose name has that in it and whom one of the channels reaches, as far as that
-- is asked. Names have no index, which would be written for everybody; the mask is in the index that is walked.
SELECT customer_id, external_id, email, phone, push_tokens, locale, time_zone, attributes, address_mask, valid_mask,
    agreed_mask, refused_mask, bounced_mask, complained_mask, shared_address, break_until, created_at, updated_at
FROM customer
WHERE brand_id = :brand_id AND NOT anonymous AND (part, customer_id) > (:after_part::smallint, :after::uuid)
    AND (part, customer_id) <= (:last_part::smallint, :last::uuid)
    AND (:channels::integer = 0 OR valid_mask & :channels <> 0)
    AND (
        :name::text = ''
        OR strpos(lower(concat_ws(' ', attributes ->> 'first_name', attributes ->> 'last_name')), lower(:name)) > 0
    )
ORDER BY brand_id, part, customer_id
LIMIT :limit

-- name: end_of_tagged
-- The last of so many people of a tag behind somebody; none where fewer are left.
SELECT customer_id
FROM customer_tag
WHERE tag_id = :tag_id AND brand_id = :brand_id AND (part, customer_id) > (:after_part::smallint, :after::uuid)
ORDER BY tag_id, part, customer_id
OFFSET :people - 1 LIMIT 1

-- name: narrowed_tagged
-- As `narrowed`, of the people of a tag.
SELECT c.customer_id, c.external_id, c.email, c.phone, c.push_tokens, c.locale, c.time_zone, c.attributes, c.address_mask,
    c.valid_mask, c.agreed_mask, c.refused_mask, c.bounced_mask, c.complained_mask, c.shared_address, c.break_until, c.created_at,
    c.updated_at
FROM customer_tag t
JOIN customer c ON c.part = t.part AND c.customer_id = t.customer_id AND c.brand_id = :brand_id
WHERE t.tag_id = :tag_id AND t.brand_id = :brand_id AND (t.part, t.customer_id) > (:after_part::smallint, :after::uuid)
    AND (t.part, t.customer_id) <= (:last_part::smallint, :last::uuid)
    AND (:channels::integer = 0 OR c.valid_mask & :channels <> 0)
    AND (
        :name::text = ''
        OR strpos(lower(concat_ws(' ', c.attributes ->> 'first_name', c.attributes ->> 'last_name')), lower(:name)) > 0
    )
ORDER BY t.tag_id, t.part, t.customer_id
LIMIT :limit

-- name: having_tag
SELECT t.customer_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer_tag t ON t.tag_id = :tag_id AND t.part = n.part AND t.customer_id = n.customer_id
WHERE t.brand_id = :brand_id

-- name: tags_of
-- The newest first.
SELECT t.id, t.name, t.created_at, t.updated_at
FROM customer_tag c
JOIN tag t ON t.id = c.tag_id AND t.brand_id = :brand_id
WHERE c.part = :part AND c.customer_id = :customer_id AND c.brand_id = :brand_id
ORDER BY t.id DESC
LIMIT :limit
