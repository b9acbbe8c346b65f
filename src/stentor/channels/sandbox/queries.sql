-- name: keep_skeletons
-- Used again, it is marked as used at most every ten seconds: the inbox keeps it until its newest message is gone.
INSERT INTO sandbox_skeleton AS s (brand_id, skeleton_id, content, used_at)
SELECT :brand_id, k.skeleton_id, k.content, :now
FROM unnest(:skeleton_ids::bytea[], :contents::bytea[]) AS k (skeleton_id, content)
ORDER BY k.skeleton_id
ON CONFLICT (brand_id, skeleton_id) DO UPDATE SET used_at = excluded.used_at
WHERE s.used_at < excluded.used_at - interval '10 seconds'

-- name: keep_messages
INSERT INTO sandbox_message (
    execution_id, customer_id, brand_id, at, part, channel, skeleton_id, recipient, subject, parts
)
SELECT m.execution_id, m.customer_id, :brand_id, :now,
    (get_byte(uuid_send(m.customer_id), 0) << 4) | (get_byte(uuid_send(m.customer_id), 1) >> 4),
    :channel, m.skeleton_id, m.recipient, m.subject, m.parts
FROM unnest(
        :execution_ids::uuid[], :customer_ids::uuid[], :skeleton_ids::bytea[], :recipients::text[], :subjects::text[],
        :parts::bytea[]
    ) AS m (execution_id, customer_id, skeleton_id, recipient, subject, parts)
ON CONFLICT (execution_id, part, customer_id, channel) DO NOTHING

-- name: report_later
-- What a provider would report by itself, in the order of its keys.
INSERT INTO provider_event (
    shard, provider, event_id, brand_id, execution_id, customer_id, part, channel, digest, kind, at, due_at, answer
)
SELECT (get_byte(h.hash, 0) << 4) | (get_byte(h.hash, 1) >> 4), 'sandbox', e.event_id, :brand_id, e.execution_id, e.customer_id,
    (get_byte(uuid_send(e.customer_id), 0) << 4) | (get_byte(uuid_send(e.customer_id), 1) >> 4),
    :channel, e.digest, e.kind, :now + make_interval(secs => e.after_s), :now + make_interval(secs => e.after_s), e.answer
FROM unnest(
        :event_ids::text[], :execution_ids::uuid[], :customer_ids::uuid[], :digests::bytea[], :kinds::text[],
        :afters_s::double precision[], :answers::text[]
    ) AS e (event_id, execution_id, customer_id, digest, kind, after_s, answer)
CROSS JOIN LATERAL (SELECT sha256(convert_to('sandbox/' || e.event_id, 'UTF8')) AS hash) AS h
ORDER BY 1, 2, 3
ON CONFLICT (shard, provider, event_id) DO NOTHING

-- name: chaos_rules
SELECT rules FROM sandbox_chaos WHERE brand_id = :brand_id

-- name: lock_chaos_rules
-- Where there are none yet there is a row afterwards, to take turns at.
INSERT INTO sandbox_chaos (brand_id, rules, updated_at)
VALUES (:brand_id, '[]', :now)
ON CONFLICT (brand_id) DO UPDATE SET updated_at = sandbox_chaos.updated_at
RETURNING rules

-- name: set_chaos_rules
INSERT INTO sandbox_chaos (brand_id, rules, updated_at)
VALUES (:brand_id, :rules, :now)
ON CONFLICT (brand_id) DO UPDATE SET rules = excluded.rules, updated_at = excluded.updated_at

-- name: newest_entries
-- Newest first from behind the cursor on; a search reads on until it has a page, at most the whole inbox of the brand.
SELECT execution_id, customer_id, channel, at, recipient, subject
FROM sandbox_message
WHERE brand_id = :brand_id
    AND (at, part, customer_id, execution_id, channel)
        < (:before_at::timestamptz, :before_part, :before_customer_id, :before_execution_id, :before_channel)
    AND (:channel::smallint IS NULL OR channel = :channel)
    AND (:search = '' OR strpos(lower(recipient), lower(:search)) > 0 OR strpos(lower(subject), lower(:search)) > 0)
ORDER BY at DESC, part DESC, customer_id DESC, execution_id DESC, channel DESC
LIMIT :limit

-- name: message
SELECT m.execution_id, m.customer_id, m.channel, m.at, m.recipient, m.subject, s.content, m.parts
FROM sandbox_message m
JOIN sandbox_skeleton s ON s.brand_id = m.brand_id AND s.skeleton_id = m.skeleton_id
WHERE m.brand_id = :brand_id AND m.execution_id = :execution_id AND m.part = :part AND m.customer_id = :customer_id
    AND m.channel = :channel

-- name: delete_message
DELETE FROM sandbox_message
WHERE brand_id = :brand_id AND execution_id = :execution_id AND part = :part AND customer_id = :customer_id
    AND channel = :channel

-- name: first_surplus
-- The newest message that is not among the newest so many, in the order of the list.
SELECT at, part, customer_id, execution_id, channel
FROM sandbox_message
WHERE brand_id = :brand_id
ORDER BY at DESC, part DESC, customer_id DESC, execution_id DESC, channel DESC
OFFSET :messages_max
LIMIT 1

-- name: delete_from
-- The message at this place in the list and those behind it, the oldest first: a range of time that holds a batch, and
-- the rest of its last wave. A join with the batch's keys would be planned by statistics that a busy inbox outruns.
DELETE FROM sandbox_message
WHERE brand_id = :brand_id
    AND at <= coalesce(
        (SELECT at FROM sandbox_message WHERE brand_id = :brand_id ORDER BY at OFFSET :batch LIMIT 1), 'infinity'
    )
    AND (at, part, customer_id, execution_id, channel) <= (:at, :part, :customer_id, :execution_id, :channel)

-- name: delete_aged
DELETE FROM sandbox_message
WHERE brand_id = :brand_id
    AND at <= coalesce(
        (SELECT at FROM sandbox_message WHERE brand_id = :brand_id ORDER BY at OFFSET :batch LIMIT 1), 'infinity'
    )
    AND at < :now - make_interval(days => :days)

-- name: delete_unused_skeletons
-- A skeleton is marked as used at most 40 s before its message is handed over, which is settled within a minute.
DELETE FROM sandbox_skeleton
WHERE brand_id = :brand_id
    AND used_at < coalesce((SELECT min(at) FROM sandbox_message WHERE brand_id = :brand_id), :now) - interval '2 minutes'
