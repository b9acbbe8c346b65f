-- name: versions
-- What the guard asked of a person at any time, oldest first; the last is the present, without an end.
SELECT v.until, v.created_at, v.address_mask, v.valid_mask, v.bounced_mask, v.complained_mask, v.email_digest, v.phone_digest,
    v.place
FROM (
    SELECT p.until, NULL::timestamptz AS created_at, p.address_mask, p.valid_mask, p.bounced_mask, p.complained_mask,
        p.email_digest, p.phone_digest, p.place
    FROM customer_past p
    WHERE p.part = :part AND p.customer_id = :customer_id AND p.brand_id = :brand_id
    UNION ALL
    SELECT NULL, c.created_at, c.address_mask, c.valid_mask, c.bounced_mask, c.complained_mask, c.email_digest,
        c.phone_digest, c.place
    FROM customer c
    WHERE c.part = :part AND c.customer_id = :customer_id AND c.brand_id = :brand_id
) v
ORDER BY v.until NULLS LAST

-- name: choices
-- What the ledger says of a person's channels and of this topic, oldest first.
SELECT e.at, e.kind, e.channels, e.source, e.until
FROM consent_event e
WHERE e.part = :part AND e.customer_id = :customer_id AND e.brand_id = :brand_id AND e.kind <> 'requested'
    AND (e.topic_id IS NULL OR e.topic_id = :topic_id)
ORDER BY e.at, e.event_id

-- name: forget_past
-- Nobody is explained any more who was written to then.
DELETE FROM customer_past p
WHERE p.brand_id = :brand_id AND p.part BETWEEN :part_from AND :part_to AND p.until < :now - make_interval(days => :days)
