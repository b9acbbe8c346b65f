-- What limits per hour have promised to lists, minute by minute.

-- name: moment
-- all brands: it reads no rows. The engine's time.
SELECT :now

-- name: promised
-- Sends of each minute after `since`; with an execution those of its list alone. What was cancelled sends none of them.
SELECT p.owner_id, p.due_at, sum(p.sends)::integer
FROM hour_promise p
JOIN execution e ON e.id = p.execution_id AND e.cancelled_at IS NULL
WHERE p.owner_id = ANY (:owner_ids::uuid[]) AND p.brand_id = :brand_id AND p.due_at > :since::timestamptz
    AND (
        :execution_id::uuid IS NULL
        OR p.execution_id = :execution_id::uuid AND p.channel_number = :channel_number::integer
    )
GROUP BY p.owner_id, p.due_at

-- name: promise
INSERT INTO hour_promise AS p (owner_id, due_at, execution_id, channel_number, brand_id, sends)
SELECT w.owner_id, w.due_at, :execution_id, :channel_number, :brand_id, w.sends
FROM unnest(:owner_ids::uuid[], :due_ats::timestamptz[], :sends::integer[]) AS w (owner_id, due_at, sends)
ORDER BY w.owner_id, w.due_at
ON CONFLICT (owner_id, due_at, execution_id, channel_number) DO UPDATE SET sends = p.sends + excluded.sends
