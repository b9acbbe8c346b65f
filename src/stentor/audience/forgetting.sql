-- What is known of people, forgotten when the brand's settings say so.

-- name: forget_told
DELETE FROM customer_event t
USING (
    SELECT o.part, o.customer_id, o.name, o.at, o.event_id
    FROM customer_event o
    WHERE o.brand_id = :brand_id AND o.part BETWEEN :part_from AND :part_to AND o.at < :now - make_interval(days => :days)
    LIMIT :limit
) o
WHERE t.part = o.part AND t.customer_id = o.customer_id AND t.name = o.name AND t.at = o.at AND t.event_id = o.event_id
    AND t.brand_id = :brand_id

-- name: forget_members
-- Who had these tags.
DELETE FROM customer_tag t
USING (
    SELECT o.tag_id, o.part, o.customer_id
    FROM customer_tag o
    WHERE o.tag_id = ANY(:tag_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE t.tag_id = o.tag_id AND t.part = o.part AND t.customer_id = o.customer_id AND t.brand_id = :brand_id
