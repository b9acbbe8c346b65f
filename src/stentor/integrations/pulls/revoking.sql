-- Revocations: who is on a list and has since said no.

-- name: take_numbers
-- The last number, after as many as are wanted. The row stays locked until the commit, so that numbers become visible in their order.
UPDATE pulled_run
SET revoked = revoked + :wanted
WHERE execution_id = :execution_id AND channel_number = :channel_number AND brand_id = :brand_id
RETURNING revoked

-- name: lock_run
SELECT revoked
FROM pulled_run
WHERE execution_id = :execution_id AND channel_number = :channel_number AND brand_id = :brand_id
FOR NO KEY UPDATE

-- name: known
-- Those of these people who are revoked already.
SELECT r.customer_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN revocation r
    ON r.execution_id = :execution_id AND r.part = n.part AND r.customer_id = n.customer_id AND r.brand_id = :brand_id
        AND r.channel_number = :channel_number

-- name: add
INSERT INTO revocation (execution_id, customer_id, brand_id, number, at, channel_number, part, reason)
SELECT :execution_id, n.customer_id, :brand_id, :first::bigint + n.ordinal - 1, :now, :channel_number, n.part, n.reason
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :reasons::smallint[]) WITH ORDINALITY
    AS n (part, customer_id, reason, ordinal)
ON CONFLICT (execution_id, part, customer_id, channel_number) DO NOTHING

-- name: skip
-- Those of them who wait for their page still are handed over no more.
UPDATE send s
SET state = 3, reason = 26, rule = 0, evidence = 0, decided_at = :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
WHERE s.execution_id = :execution_id AND s.part = n.part AND s.customer_id = n.customer_id AND s.channel = :channel
    AND s.brand_id = :brand_id AND s.state = 0 AND s.chunk = ANY (:chunks::integer[])
RETURNING s.customer_id

-- name: page
-- What came after a number. Whoever was erased has no external id any more.
SELECT r.number, r.customer_id, p.external_id, r.reason, r.at
FROM revocation r
LEFT JOIN recipient p ON p.part = r.part AND p.customer_id = r.customer_id AND p.brand_id = :brand_id
WHERE r.execution_id = :execution_id AND r.channel_number = :channel_number AND r.brand_id = :brand_id AND r.number > :after
ORDER BY r.number
LIMIT :limit

-- name: of_person
SELECT r.channel_number, r.number, r.customer_id, NULL::text, r.reason, r.at
FROM revocation r
WHERE r.execution_id = :execution_id AND r.part = :part AND r.customer_id = :customer_id AND r.brand_id = :brand_id
ORDER BY r.channel_number

-- name: watched
-- all brands: the watcher's, each with its brand.
-- Brands of which something is watched, and how far they were.
SELECT w.brand_id, w.watched_to
FROM pull_watch w
WHERE EXISTS (SELECT FROM pulled_run r WHERE r.brand_id = w.brand_id AND r.watched_until > :now)
ORDER BY w.brand_id

-- name: channels
-- On which of these channels something of the brand is watched.
SELECT c.channel
FROM unnest(:channels::smallint[]) AS c (channel)
WHERE EXISTS (SELECT FROM pulled_run r WHERE r.brand_id = :brand_id AND r.channel = c.channel AND r.watched_until > :now)

-- name: advance
UPDATE pull_watch
SET watched_to = :watched_to::timestamptz
WHERE brand_id = :brand_id AND watched_to < :watched_to::timestamptz

-- name: begin_sweep
-- The lists are other ones than their people were asked about, or have other files: everybody is asked anew. Where that is under way it
-- goes on to its end before it begins again: beginning again at each entry, it would never come to the last parts.
UPDATE pulled_run
SET lists = :lists, sweep_again = swept_to IS NOT NULL, swept_to = coalesce(swept_to, 0)
WHERE brand_id = :brand_id AND channel = :channel AND watched_until > :now AND (:is_untold OR lists <> :lists)

-- name: to_sweep
-- all brands: the watcher's, with its brand.
-- One run after the other, each a step, so that a large one keeps no other waiting.
SELECT r.brand_id, r.execution_id, r.channel_number, r.swept_to
FROM pulled_run r
WHERE r.swept_to IS NOT NULL AND (r.execution_id, r.channel_number) > (:after_execution::uuid, :after_number::integer)
ORDER BY r.execution_id, r.channel_number
LIMIT 1

-- name: note_swept
UPDATE pulled_run
SET swept_to = CASE WHEN :is_done AND NOT sweep_again THEN NULL WHEN :is_done THEN 0 ELSE :swept_to::smallint END,
    sweep_again = sweep_again AND NOT :is_done
WHERE execution_id = :execution_id AND channel_number = :channel_number AND brand_id = :brand_id

-- name: said_no
-- Whose choices took something back since then.
SELECT DISTINCT e.customer_id, e.at
FROM consent_event e
WHERE e.brand_id = :brand_id AND e.kind IN ('unsubscribed', 'refused') AND e.at >= :since::timestamptz

-- name: erased
SELECT e.customer_id, e.erased_at
FROM erasure e
WHERE e.brand_id = :brand_id AND e.due_at IS NOT NULL AND e.customer_id IS NOT NULL AND e.erased_at >= :since::timestamptz

-- name: merged
-- Who is somebody else now.
SELECT m.customer_id, m.merged_at
FROM customer_merged m
WHERE m.brand_id = :brand_id AND m.merged_at >= :since::timestamptz

-- name: barred
-- Whose address was called dead, or who complained, on whatever channel and whoever said so.
SELECT p.customer_id, p.until
FROM customer_past p
WHERE p.brand_id = :brand_id AND p.barred AND p.until >= :since::timestamptz

-- name: entered
-- Single entries of these lists since then.
SELECT e.list_id, e.digest, e.address, e.cause, e.at
FROM unnest(:list_ids::uuid[], :brand_ids::uuid[]) AS l (list_id, brand_id)
JOIN optout_recent e ON e.list_id = l.list_id AND e.brand_id = l.brand_id AND e.at >= :since::timestamptz

-- name: owners
-- Who has these addresses: the look-up that all upserts keep.
SELECT o.digest, o.customers
FROM unnest(:shards::smallint[], :digests::bytea[]) AS n (shard, digest)
JOIN address_owner o ON o.shard = n.shard AND o.digest = n.digest AND o.channel = :channel
WHERE o.brand_id = :brand_id

-- name: cast_in
-- Which watched runs cast these people. There may be as many runs as there are events, and those of others cost nothing.
SELECT r.execution_id, r.channel_number, r.channel, m.part, m.customer_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN cast_member m ON m.part = n.part AND m.customer_id = n.customer_id AND m.brand_id = :brand_id
JOIN pulled_run r ON r.execution_id = m.execution_id AND r.brand_id = :brand_id AND NOT r.is_wide AND r.watched_until > :now

-- name: named_in
-- The same of those whose calls named them.
SELECT r.execution_id, r.channel_number, r.channel, x.part, x.customer_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN send_context x ON x.part = n.part AND x.customer_id = n.customer_id AND x.brand_id = :brand_id
JOIN pulled_run r ON r.execution_id = x.execution_id AND r.brand_id = :brand_id AND NOT r.is_wide AND r.watched_until > :now

-- name: held_in
-- Which of these people these runs have sends for that wait or were handed over, and were not revoked.
SELECT w.execution_id, w.channel_number, s.customer_id
FROM unnest(:execution_ids::uuid[], :channel_numbers::integer[], :channels::smallint[], :parts::smallint[], :customer_ids::uuid[])
    AS w (execution_id, channel_number, channel, part, customer_id)
JOIN send s
    ON s.execution_id = w.execution_id AND s.part = w.part AND s.customer_id = w.customer_id AND s.channel = w.channel
        AND s.brand_id = :brand_id AND s.state IN (0, 2)
LEFT JOIN revocation v
    ON v.execution_id = s.execution_id AND v.part = s.part AND v.customer_id = s.customer_id AND v.brand_id = :brand_id
        AND v.channel_number = w.channel_number
WHERE v.customer_id IS NULL

-- name: held_wide
-- The same in all watched runs that go to a topic's subscribers: one look-up by key for each pair of person and run.
SELECT r.execution_id, r.channel_number, s.customer_id
FROM pulled_run r
CROSS JOIN unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN send s
    ON s.execution_id = r.execution_id AND s.part = n.part AND s.customer_id = n.customer_id AND s.channel = r.channel
        AND s.brand_id = :brand_id AND s.state IN (0, 2)
LEFT JOIN revocation v
    ON v.execution_id = s.execution_id AND v.part = s.part AND v.customer_id = s.customer_id AND v.brand_id = :brand_id
        AND v.channel_number = r.channel_number
WHERE r.brand_id = :brand_id AND r.is_wide AND r.watched_until > :now AND v.customer_id IS NULL

-- name: everybody_in
-- The same of all people of these parts.
SELECT s.customer_id
FROM send s
LEFT JOIN revocation r
    ON r.execution_id = s.execution_id AND r.part = s.part AND r.customer_id = s.customer_id AND r.brand_id = :brand_id
        AND r.channel_number = :channel_number
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.part BETWEEN :part_from AND :part_to
    AND s.channel = :channel AND s.state IN (0, 2) AND s.variant = ANY (:variants::smallint[]) AND r.customer_id IS NULL

-- name: size
-- How many people a run may have, so that a sweep takes a bounded number of them at once.
SELECT coalesce(sum(c.sends), 0)::integer
FROM chunk c
WHERE c.execution_id = :execution_id AND c.sender_id = :sender_id AND c.brand_id = :brand_id
