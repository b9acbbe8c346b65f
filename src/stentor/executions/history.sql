-- name: lock_old
-- all brands: the keeper's sweep over what is older than its retention; execution ids are in the order of time.
-- Those that have not ended stay, whatever their age: somebody paused them, and their people are still to come. So do those whose
-- steps have not. Steps go after their run, whose sums count them. Of a restored copy that nobody has let go everything stays: perhaps it was restored to be looked at.
SELECT id
FROM execution
WHERE id < uuid_floor(:now - make_interval(days => :days)) AND ended_at IS NOT NULL
    AND (:execution_ids::uuid[] IS NULL OR id = ANY(:execution_ids))
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM stepping s WHERE s.execution_id IN (execution.id, execution.parent_id) AND s.ended_at IS NULL)
    AND (step = 0 OR NOT EXISTS (SELECT FROM execution r WHERE r.id = execution.parent_id))
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

-- name: lock_old_of_brand
-- Of a brand that keeps less than the installation does; any, or those that are named. What is in doubt, to be treated by a remedy,
-- or to get an experiment's winner stays as long as that, and a run with its steps. Steps go after their run, whose sums count them.
SELECT e.id
FROM execution e
WHERE e.brand_id = :brand_id AND e.id < uuid_floor(:now - make_interval(days => :days)) AND e.ended_at IS NOT NULL
    AND (:execution_ids::uuid[] IS NULL OR e.id = ANY(:execution_ids))
    AND (e.step = 0 OR NOT EXISTS (SELECT FROM execution r WHERE r.id = e.parent_id AND r.brand_id = :brand_id))
    AND nothing_is_open(:brand_id, e.id)
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY e.id
LIMIT :limit
FOR UPDATE OF e SKIP LOCKED

-- name: mark_forgotten
-- Before the first of its sends goes: from then on nothing can be ordered for it.
UPDATE execution SET forgotten_at = :now WHERE id = ANY(:execution_ids) AND brand_id = :brand_id AND forgotten_at IS NULL

-- name: drop_sends
DELETE FROM send s
USING (
    SELECT o.execution_id, o.part, o.customer_id, o.channel
    FROM send o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE s.execution_id = o.execution_id AND s.part = o.part AND s.customer_id = o.customer_id AND s.channel = o.channel
    AND s.brand_id = :brand_id

-- name: drop_answers
DELETE FROM delivery_event d
USING (
    SELECT o.execution_id, o.part, o.customer_id, o.event_id
    FROM delivery_event o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE d.execution_id = o.execution_id AND d.part = o.part AND d.customer_id = o.customer_id AND d.event_id = o.event_id
    AND d.brand_id = :brand_id

-- name: drop_contexts
DELETE FROM send_context a
USING (
    SELECT o.execution_id, o.part, o.customer_id
    FROM send_context o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE a.execution_id = o.execution_id AND a.part = o.part AND a.customer_id = o.customer_id AND a.brand_id = :brand_id

-- name: drop_casts
DELETE FROM cast_member a
USING (
    SELECT o.execution_id, o.part, o.customer_id
    FROM cast_member o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE a.execution_id = o.execution_id AND a.part = o.part AND a.customer_id = o.customer_id AND a.brand_id = :brand_id

-- name: drop_waits
DELETE FROM step_wait a
USING (
    SELECT o.execution_id, o.step, o.part, o.customer_id
    FROM step_wait o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE a.execution_id = o.execution_id AND a.step = o.step AND a.part = o.part AND a.customer_id = o.customer_id
    AND a.brand_id = :brand_id

-- name: drop_pulled
-- What services were given of them.
DELETE FROM pull_row a
USING (
    SELECT o.execution_id, o.pull_id, o.position, o.part, o.customer_id
    FROM pull_row o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE a.execution_id = o.execution_id AND a.pull_id = o.pull_id AND a.position = o.position AND a.part = o.part
    AND a.customer_id = o.customer_id AND a.brand_id = :brand_id

-- name: drop_revocations
DELETE FROM revocation a
USING (
    SELECT o.execution_id, o.part, o.customer_id, o.channel_number
    FROM revocation o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE a.execution_id = o.execution_id AND a.part = o.part AND a.customer_id = o.customer_id
    AND a.channel_number = o.channel_number AND a.brand_id = :brand_id

-- name: drop_send_revocations
DELETE FROM send_revocation a
USING (
    SELECT o.execution_id, o.part, o.customer_id
    FROM send_revocation o
    WHERE o.execution_id = ANY(:execution_ids) AND o.brand_id = :brand_id
    LIMIT :limit
) o
WHERE a.execution_id = o.execution_id AND a.part = o.part AND a.customer_id = o.customer_id AND a.brand_id = :brand_id

-- name: drop_week
-- all brands: sends are partitioned by time, not by brand.
SELECT CASE
    WHEN EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL) THEN 0
    ELSE drop_week(:now - make_interval(days => :days))
END
