-- name: tried
-- How many messages were tried in each span of time, by channel: by waves, which are some half a second of a sender's work each, and
-- by pages that outside services fetched. Neither has a row for each person.
SELECT p.channel, p.slot, sum(p.sends)::bigint
FROM (
    SELECT s.channel, floor(extract(epoch FROM v.settled_at) / :step_s::integer)::bigint AS slot, v.sends
    FROM wave v
    JOIN sender s ON s.id = v.sender_id AND s.brand_id = :brand_id
    WHERE v.execution_id = :execution_id AND v.brand_id = :brand_id AND v.settled_at IS NOT NULL
    UNION ALL
    SELECT r.channel, floor(extract(epoch FROM g.handed_over_at) / :step_s::integer)::bigint, g.handed_over
    FROM pulled_run r
    JOIN pull l ON l.execution_id = r.execution_id AND l.channel_number = r.channel_number
    JOIN pull_page g ON g.pull_id = l.id
    WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id AND g.handed_over > 0
) p
GROUP BY p.channel, p.slot
ORDER BY p.slot, p.channel
