-- name: under_way
SELECT e.id, coalesce(nullif(g.name, ''), c.name, '') AS name, e.triggered_by, e.state, e.is_test, e.audience_size, e.created_at,
    e.start_at, e.paused_at, e.error_message
FROM execution e
LEFT JOIN campaign c ON c.id = e.campaign_id AND c.brand_id = :brand_id
LEFT JOIN event_generator g ON g.brand_id = :brand_id AND g.id = e.generator_id
WHERE e.brand_id = :brand_id AND e.state IN ('queued', 'planning', 'sending')
ORDER BY e.id DESC
LIMIT :limit

-- name: to_start
SELECT e.id, coalesce(nullif(g.name, ''), c.name, '') AS name, e.triggered_by, e.state, e.is_test, e.audience_size, e.created_at,
    e.start_at, e.paused_at, e.error_message
FROM execution e
LEFT JOIN campaign c ON c.id = e.campaign_id AND c.brand_id = :brand_id
LEFT JOIN event_generator g ON g.brand_id = :brand_id AND g.id = e.generator_id
WHERE e.brand_id = :brand_id AND e.state = 'scheduled' AND e.start_at < :now + make_interval(hours => :hours)
ORDER BY e.start_at, e.id
LIMIT :limit

-- name: failed_lately
SELECT e.id, coalesce(nullif(g.name, ''), c.name, '') AS name, e.triggered_by, e.state, e.is_test, e.audience_size, e.created_at,
    e.start_at, e.paused_at, e.error_message
FROM execution e
LEFT JOIN campaign c ON c.id = e.campaign_id AND c.brand_id = :brand_id
LEFT JOIN event_generator g ON g.brand_id = :brand_id AND g.id = e.generator_id
WHERE e.brand_id = :brand_id AND e.state = 'failed' AND e.id >= uuid_floor(:now - make_interval(hours => :hours))
ORDER BY e.id DESC
LIMIT :limit

-- name: hours_of_today
-- Of what starts at some time, the id says that time.
SELECT extract(hour FROM coalesce(e.start_at, e.created_at) AT TIME ZONE 'UTC')::integer AS hour, t.state, t.reason, sum(t.sends)::bigint
FROM execution e
JOIN tally t ON t.execution_id = e.id AND t.brand_id = :brand_id
WHERE e.brand_id = :brand_id AND NOT e.is_test
    AND e.id >= uuid_floor(date_trunc('day', :now, 'UTC')) AND e.id < uuid_floor(date_trunc('day', :now, 'UTC') + interval '1 day')
GROUP BY 1, 2, 3

-- name: has_run
SELECT EXISTS (SELECT FROM execution WHERE brand_id = :brand_id)
