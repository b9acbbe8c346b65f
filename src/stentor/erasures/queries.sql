-- Erasing people. Everybody who writes people takes their locks in one order, and so do these: addresses, then customers, then
-- what hangs on them. Sets of keys are joined LATERAL, as in audience/customers.sql.

-- name: survivors
-- Whom those of these people who were merged into somebody are now.
SELECT m.customer_id, m.merged_into
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer_merged m ON m.part = n.part AND m.customer_id = n.customer_id
WHERE m.brand_id = :brand_id

-- name: merged_into
-- Who was merged into one of these people.
SELECT customer_id FROM customer_merged WHERE brand_id = :brand_id AND merged_into = ANY(:customer_ids::uuid[])

-- name: who
-- How these people stand, without a lock. `objected` are channels (masks) whose address must not be written to, by the reason.
SELECT c.customer_id, c.external_id, c.email, c.phone, encode(c.email_digest, 'hex') AS email_digest,
    encode(c.phone_digest, 'hex') AS phone_digest, c.agreed_mask, c.refused_mask, c.complained_mask, c.bounced_mask,
    c.created_at
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT customer_id, external_id, email, phone, email_digest, phone_digest, agreed_mask, refused_mask, complained_mask,
        bounced_mask, created_at
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
) c
ORDER BY c.customer_id

-- name: tombstones
-- Those of these people who were merged into somebody, in the columns of the others: they have no address.
SELECT m.customer_id, m.external_id, NULL::text, NULL::text, NULL::text, NULL::text, 0, 0, 0, 0, m.created_at
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer_merged m ON m.part = n.part AND m.customer_id = n.customer_id
WHERE m.brand_id = :brand_id

-- name: lock_people
-- In id order. Waits for messages to them that are being taken in, which hold their keys.
SELECT c.customer_id, c.external_id, c.email, c.phone, encode(c.email_digest, 'hex') AS email_digest,
    encode(c.phone_digest, 'hex') AS phone_digest, c.agreed_mask, c.refused_mask, c.complained_mask, c.bounced_mask,
    c.created_at
FROM (
    SELECT u.part, u.customer_id
    FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS u (part, customer_id)
    ORDER BY u.part, u.customer_id
) n
CROSS JOIN LATERAL (
    SELECT customer_id, external_id, email, phone, email_digest, phone_digest, agreed_mask, refused_mask, complained_mask,
        bounced_mask, created_at
    FROM customer
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    LIMIT 1
    FOR UPDATE
) c

-- name: earlier_digests
-- Of addresses that these people had before.
SELECT DISTINCT d.digest
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
CROSS JOIN LATERAL (
    SELECT email_digest, phone_digest
    FROM customer_past
    WHERE part = n.part AND customer_id = n.customer_id AND brand_id = :brand_id
    OFFSET 0
) p
CROSS JOIN LATERAL unnest(ARRAY[p.email_digest, p.phone_digest]) AS d (digest)
WHERE d.digest IS NOT NULL

-- name: drop_people
DELETE FROM customer c
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id

-- name: drop_tombstones
DELETE FROM customer_merged m
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE m.part = n.part AND m.customer_id = n.customer_id AND m.brand_id = :brand_id

-- name: drop_past
DELETE FROM customer_past p
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE p.part = n.part AND p.customer_id = n.customer_id AND p.brand_id = :brand_id
RETURNING p.customer_id

-- name: drop_subscriptions
DELETE FROM subscription s
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE s.part = n.part AND s.customer_id = n.customer_id AND s.brand_id = :brand_id
RETURNING s.customer_id, s.topic_id, s.channels

-- name: drop_tags
DELETE FROM customer_tag t
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE t.part = n.part AND t.customer_id = n.customer_id AND t.brand_id = :brand_id
RETURNING t.customer_id

-- name: drop_told
DELETE FROM customer_event t
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE t.part = n.part AND t.customer_id = n.customer_id AND t.brand_id = :brand_id
RETURNING t.customer_id

-- name: drop_clearances
DELETE FROM clearance x
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE x.part = n.part AND x.customer_id = n.customer_id AND x.brand_id = :brand_id
RETURNING x.customer_id

-- name: drop_send_revocations
DELETE FROM send_revocation x
USING unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE x.part = n.part AND x.customer_id = n.customer_id AND x.brand_id = :brand_id
RETURNING x.customer_id

-- name: drop_notices
-- What listeners are, or were, told of these people. What became of an update names several by their external ids.
DELETE FROM notice t
USING (
    SELECT n.customer_id, to_json(c.external_id)::text AS said
    FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
    LEFT JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
) p
WHERE t.brand_id = :brand_id
    AND (t.customer_id = p.customer_id OR t.event = 'attributes_updated' AND strpos(t.body, p.said) > 0)
RETURNING p.customer_id

-- name: blank_consents
-- What was chosen, when and by which door stays under the id: that is what a consent is proved with, and it names nobody.
UPDATE consent_event e
SET actor = '', ip = NULL, note = ''
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE e.part = n.part AND e.customer_id = n.customer_id AND e.brand_id = :brand_id
RETURNING e.customer_id

-- name: blank_contexts
UPDATE send_context a
SET context = NULL, shown = NULL
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE a.part = n.part AND a.customer_id = n.customer_id AND a.brand_id = :brand_id
RETURNING a.customer_id

-- name: add_erasures
INSERT INTO erasure (id, brand_id, digest, asked_by, erased_at, counts, customer_id, due_at)
SELECT n.id, :brand_id, n.digest, :asked_by, :now, n.counts, n.customer_id, :now
FROM unnest(:ids::uuid[], :digests::bytea[], :counts::jsonb[], :customer_ids::uuid[]) AS n (id, digest, counts, customer_id)
RETURNING id, brand_id, digest, asked_by, erased_at, completed_at, counts

-- name: newest_of
-- The last erasure of each of these people.
SELECT e.id, e.brand_id, e.digest, e.asked_by, e.erased_at, e.completed_at, e.counts
FROM unnest(:digests::bytea[]) AS n (digest)
CROSS JOIN LATERAL (
    SELECT *
    FROM erasure
    WHERE brand_id = :brand_id AND digest = n.digest
    ORDER BY id DESC
    LIMIT 1
) e

-- name: page
-- The newest first.
SELECT id, brand_id, digest, asked_by, erased_at, completed_at, counts
FROM erasure
WHERE brand_id = :brand_id AND (:before::uuid IS NULL OR id < :before::uuid)
ORDER BY id DESC
LIMIT :limit

-- name: brand_erasure
SELECT id, brand_id, digest, asked_by, erased_at, completed_at, counts
FROM erasure
WHERE brand_id = :brand_id AND id = :id
