-- What ran and what is to come, by the day.

-- name: runs_seen_from
-- The run behind the newest :most of a time: those before it are not looked at, whatever they are.
SELECT id
FROM execution
WHERE brand_id = :brand_id AND id >= uuid_floor(:since) AND id < uuid_floor(:until)
ORDER BY id DESC
OFFSET :most LIMIT 1

-- name: runs_between
-- Ids are in the order of their starts. Who was named in a call is no audience, and a test send no run. State 2 is handed over.
SELECT e.id, e.schedule_id, p.campaign_id, c.name, coalesce(e.start_at, e.created_at) AS at, e.local_at, e.state, e.is_test, e.topic_key,
    e.audience, e.audience_size, h.sends AS handed_over
FROM execution e
JOIN publication p ON p.id = e.publication_id AND p.brand_id = e.brand_id
LEFT JOIN campaign c ON c.id = p.campaign_id AND c.brand_id = e.brand_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.sends), 0)::bigint AS sends
    FROM tally t
    WHERE t.execution_id = e.id AND t.brand_id = e.brand_id AND t.state = 2
) h
WHERE e.brand_id = :brand_id AND e.id >= uuid_floor(:since) AND e.id < uuid_floor(:until)
    AND (:after::uuid IS NULL OR e.id > :after::uuid) AND e.recipients = 0 AND NOT p.is_test_send
ORDER BY e.id DESC
LIMIT :limit

-- name: schedules_until
-- As many people as it meant last time are expected.
SELECT s.id, s.name, s.campaign_id, coalesce(c.name, g.name, s.generator_id) AS runs, s.topic_key, s.audience, s.in_their_zones, s.is_test,
    s.time_zone, s.at, s.cron, s.seen_local, s.seen_at, s.updated_at, l.audience_size AS expected
FROM schedule s
LEFT JOIN campaign c ON c.id = s.campaign_id AND c.brand_id = s.brand_id
LEFT JOIN event_generator g ON g.id = s.generator_id AND g.brand_id = s.brand_id
LEFT JOIN LATERAL (
    SELECT e.audience_size
    FROM occurrence o
    JOIN execution e ON e.id = o.execution_id AND e.brand_id = o.brand_id AND e.published_at IS NOT NULL
    WHERE o.schedule_id = s.id AND o.brand_id = s.brand_id
    ORDER BY o.due_at DESC
    LIMIT 1
) l ON true
WHERE s.brand_id = :brand_id AND s.enabled AND s.next_at IS NOT NULL AND s.next_at < :until
ORDER BY s.next_at, s.id
LIMIT :limit
