-- How much a brand sends: of executions that are kept from their tallies, of dropped ones from their daily totals.

-- name: by_day
-- By the day (UTC) on which executions start, as daily totals are. An execution's id is of when it starts; a day around it is looked at, so
-- that none is missed by what clocks differ. Test sends count nowhere.
SELECT u.day, u.channel, u.state, sum(u.sends)::bigint AS sends
FROM (
    SELECT day, channel, state, sends
    FROM daily_total
    WHERE brand_id = :brand_id AND day BETWEEN :first_day AND :last_day
    UNION ALL
    SELECT k.day, t.channel, t.state, t.sends
    FROM (
        SELECT e.id, (coalesce(e.start_at, e.created_at) AT TIME ZONE 'UTC')::date AS day
        FROM execution e
        JOIN publication p ON p.id = e.publication_id
        WHERE e.brand_id = :brand_id AND p.brand_id = :brand_id AND NOT p.is_test_send
            AND e.id >= uuid_floor((:first_day)::date::timestamp AT TIME ZONE 'UTC' - interval '1 day')
            AND e.id < uuid_floor((:last_day)::date::timestamp AT TIME ZONE 'UTC' + interval '2 days')
    ) k
    JOIN tally t ON t.execution_id = k.id AND t.brand_id = :brand_id
    WHERE k.day BETWEEN :first_day AND :last_day
) u
GROUP BY u.day, u.channel, u.state
HAVING sum(u.sends) > 0
ORDER BY u.day, u.channel, u.state

-- name: lists
-- What a brand's opt-out lists hold in files, and how large these are.
SELECT (SELECT count(*)::integer FROM optout_list WHERE brand_id = :brand_id AND state <> 'deleted') AS lists,
    coalesce(sum(r.entries), 0)::bigint AS entries, coalesce(sum(r.bytes), 0)::bigint AS bytes
FROM optout_run r
JOIN optout_list l ON l.id = r.list_id AND l.brand_id = :brand_id AND l.state <> 'deleted'
WHERE r.brand_id = :brand_id AND r.replaced_at IS NULL

-- name: today
SELECT (:now AT TIME ZONE 'UTC')::date
