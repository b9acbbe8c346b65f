-- name: move
INSERT INTO tally (execution_id, channel, shard, state, reason, brand_id, sends)
SELECT t.execution_id, t.channel, :shard, t.state, t.reason, :brand_id, t.sends
FROM unnest(:execution_ids::uuid[], :channels::smallint[], :states::smallint[], :reasons::smallint[], :sends::bigint[])
    AS t (execution_id, channel, state, reason, sends)
ON CONFLICT (execution_id, channel, shard, state, reason) DO UPDATE SET sends = tally.sends + excluded.sends

-- name: counts
SELECT t.execution_id, t.channel, t.state, t.reason, sum(t.sends)::bigint
FROM tally t
WHERE t.execution_id = ANY(:execution_ids) AND t.brand_id = :brand_id
GROUP BY t.execution_id, t.channel, t.state, t.reason
