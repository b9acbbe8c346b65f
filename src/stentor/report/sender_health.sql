-- How senders fare, from what is kept of the newest runs: bounded, so that a page can ask it.

-- name: recent
-- What the sender tried in each of the brand's newest executions; lost: of it nobody knows what became.
SELECT e.id, w.last_at, w.tried, w.lost
FROM (
    SELECT id
    FROM execution
    WHERE brand_id = :brand_id AND id >= uuid_floor(:now - make_interval(days => :days))
    ORDER BY id DESC
    LIMIT :executions
) e
CROSS JOIN LATERAL (
    SELECT max(opened_at) AS last_at, sum(sends)::bigint AS tried, coalesce(sum(sends) FILTER (WHERE lost), 0)::bigint AS lost
    FROM wave
    WHERE execution_id = e.id AND sender_id = :sender_id AND brand_id = :brand_id
) w
WHERE w.tried IS NOT NULL
ORDER BY e.id DESC

-- name: waiting
-- Sends in chunks of this sender that are not done.
SELECT coalesce(sum(c.sends), 0)::bigint
FROM execution e
JOIN chunk c ON c.execution_id = e.id AND c.brand_id = e.brand_id
WHERE e.brand_id = :brand_id AND e.state IN ('sending', 'cancelled', 'failed') AND e.ended_at IS NULL
    AND c.sender_id = :sender_id AND c.done_at IS NULL

-- name: answers
-- Of each execution so many of its events, in the order of their people, which is by chance; the newest kinds of answers first.
SELECT s.kind, s.answer, count(*)::integer AS times, max(s.at) AS last_at
FROM unnest(:execution_ids::uuid[]) AS e (id)
CROSS JOIN LATERAL (
    SELECT v.kind, CASE WHEN v.kind = 'accepted' THEN '' ELSE v.answer END AS answer, v.at, v.sender_id
    FROM delivery_event v
    WHERE v.execution_id = e.id AND v.brand_id = :brand_id
    LIMIT :each
) s
WHERE s.sender_id = :sender_id AND s.kind IN ('accepted', 'deferred', 'rejected', 'in_doubt')
GROUP BY s.kind, s.answer
ORDER BY max(s.at) DESC
LIMIT :limit
