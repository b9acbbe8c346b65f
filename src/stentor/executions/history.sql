-- name: lock_old
-- all brands: the keeper's sweep over what is older than its retention; execution ids are in the order of time.
-- Those that have not ended stay, whatever their age: somebody paused them, and their people are still to come. Of a restored
-- copy that nobody has let go everything stays: perhaps it was restored to be looked at.
SELECT id
FROM execution
WHERE id < uuid_floor(:now - make_interval(days => :days)) AND ended_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY id
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: add_totals
-- all brands: of the executions that are dropped in this transaction, each with its brand. Test sends count nowhere.
INSERT INTO daily_total AS d (brand_id, day, campaign_id, channel, state, reason, sends)
SELECT t.brand_id, (coalesce(e.start_at, e.created_at) AT TIME ZONE 'UTC')::date, p.campaign_id, t.channel, t.state, t.reason, sum(t.sends)
FROM tally t
JOIN execution e ON e.id = t.execution_id
JOIN publication p ON p.id = e.publication_id
WHERE t.execution_id = ANY(:execution_ids) AND NOT p.is_test_send
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(t.sends) > 0
ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (brand_id, day, campaign_id, channel, state, reason) DO UPDATE SET sends = d.sends + excluded.sends

-- name: drop_executions
-- all brands: those whose totals were added in this transaction. Slices, chunks, waves, tallies, books and remedies go with them.
DELETE FROM execution WHERE id = ANY(:execution_ids)

-- name: drop_week
-- all brands: sends are partitioned by time, not by brand.
SELECT CASE
    WHEN EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL) THEN 0
    ELSE drop_week(:now - make_interval(days => :days))
END
