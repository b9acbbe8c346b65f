-- Bare addresses that messages were sent to. Sets of keys are joined LATERAL, as in customers.sql.

-- name: hold_people
-- Which of these people exist. They stay until the transaction ends, and may be changed meanwhile; in id order, and after the
-- addresses: the order that every upsert keeps.
SELECT n.place::integer - 1
FROM (
    SELECT u.part, u.customer_id, u.place
    FROM unnest(:parts::smallint[], :customer_ids::uuid[]) WITH ORDINALITY AS u (part, customer_id, place)
    ORDER BY u.part, u.customer_id
) n
CROSS JOIN LATERAL (
    SELECT
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
    FOR KEY SHARE
) c

-- name: without_messages
SELECT c.customer_id, encode(c.email_digest, 'hex'), encode(c.phone_digest, 'hex')
FROM customer c
WHERE c.brand_id = :brand_id AND c.anonymous AND c.part BETWEEN :part_from AND :part_to
    AND NOT EXISTS (
        SELECT FROM send_context m
        WHERE m.part = c.part AND m.customer_id = c.customer_id AND m.brand_id = :brand_id
    )
ORDER BY c.part, c.customer_id
LIMIT :limit

-- name: lock_anonymous
-- Waits for messages to them that are being taken in.
SELECT true
FROM (
    SELECT u.part, u.customer_id
    FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS u (part, customer_id)
    ORDER BY u.part, u.customer_id
) n
CROSS JOIN LATERAL (
    SELECT
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id AND anonymous
    LIMIT 1
    FOR UPDATE
) c

-- name: erase_anonymous
-- Those who have no message now, under their locks.
DELETE FROM customer c
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id AND c.anonymous
    AND NOT EXISTS (
        SELECT FROM send_context m
        WHERE m.part = c.part AND m.customer_id = c.customer_id AND m.brand_id = :brand_id
    )
RETURNING c.customer_id

-- name: erase_past
DELETE FROM customer_past p
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE p.part = n.part AND p.customer_id = n.customer_id AND p.brand_id = :brand_id
