-- What planning wrote, and what waves are cut from.

-- name: planned_counts
-- What the statements above wrote, by chunk and verdict: the source of the chunk rows and the tally.
SELECT s.execution_id, s.channel, s.chunk, s.state, s.reason, count(*)::integer
FROM send s
WHERE s.execution_id = ANY(:execution_ids) AND s.part BETWEEN :part_from AND :part_to AND s.brand_id = :brand_id
GROUP BY s.execution_id, s.channel, s.chunk, s.state, s.reason

-- name: planned_people
-- People, where an execution has several sends for one.
SELECT s.execution_id, count(DISTINCT s.customer_id)::integer
FROM send s
WHERE s.execution_id = ANY(:execution_ids) AND s.part BETWEEN :part_from AND :part_to AND s.brand_id = :brand_id
GROUP BY s.execution_id

-- name: revoked
-- planned anew: a plan from when the table was empty would go through all of it for each wave, until it is analyzed.
-- Those of these people whom the hub that named them has revoked.
SELECT r.execution_id, r.customer_id
FROM unnest(:execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[]) AS n (execution_id, part, customer_id)
JOIN send_revocation r
    ON r.execution_id = n.execution_id AND r.part = n.part AND r.customer_id = n.customer_id AND r.brand_id = :brand_id

-- name: revoke
-- Those who are new.
INSERT INTO send_revocation (execution_id, customer_id, brand_id, at, part)
SELECT :execution_id, n.customer_id, :brand_id, :now, n.part
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
ON CONFLICT (execution_id, part, customer_id) DO NOTHING

-- name: has_revoked
UPDATE execution SET has_revoked = true WHERE id = :execution_id AND brand_id = :brand_id AND NOT has_revoked

-- name: wave
-- The next pending sends of these chunks with their people as they are now. (part, customer_id) sorts as customer_id does,
-- so each chunk is one range of the primary key. A person who was erased meanwhile has no external_id, and neither has one who
-- was made anew on that id after it was fixed whom the execution means (meant_at): nobody decided anything about them.
SELECT w.ordinal::integer - 1, s.customer_id, s.variant, s.tries, s.doubts,
    p.refused_mask, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, p.shared_address,
    coalesce(p.break_until > :now, false),
    coalesce(a.channels, 0), p.external_id, p.email, p.email_digest, p.phone, p.phone_digest,
    CASE WHEN :with_tokens THEN p.push_tokens END, p.locale, p.time_zone, p.attributes
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :topic_ids::uuid[], :parts_from::smallint[], :keys_from::uuid[],
        :parts_to::smallint[], :keys_to::uuid[], :meant_ats::timestamptz[]
    ) WITH ORDINALITY AS w (execution_id, number, topic_id, part_from, key_from, part_to, key_to, meant_at, ordinal)
CROSS JOIN LATERAL (
    SELECT s.customer_id, s.part, s.variant, s.tries, s.doubts
    FROM send s
    WHERE s.execution_id = w.execution_id AND s.brand_id = :brand_id AND s.chunk = w.number AND s.channel = :channel
        AND s.state = 0
        AND (s.part, s.customer_id) >= (w.part_from, w.key_from) AND (s.part, s.customer_id) <= (w.part_to, w.key_to)
    ORDER BY s.part, s.customer_id
    LIMIT :limit
) s
LEFT JOIN recipient p
    ON p.part = s.part AND p.customer_id = s.customer_id AND p.brand_id = :brand_id
        AND (w.meant_at IS NULL OR p.created_at <= w.meant_at)
LEFT JOIN topic_audience a
    ON a.topic_id = w.topic_id AND a.part = s.part AND a.customer_id = s.customer_id AND a.brand_id = :brand_id
ORDER BY w.ordinal, s.part, s.customer_id
LIMIT :limit
