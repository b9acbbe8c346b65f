-- name: copy_schedule
-- As calls would make them, one by one, but at once.
INSERT INTO schedule (id, brand_id, name, generator_id, topic_key, context, is_test, time_zone, at, misfire_grace_s, enabled,
    seen_local, seen_at, next_local, next_at, created_at, updated_at)
SELECT gen_random_uuid(), s.brand_id, 'Copy ' || n, s.generator_id, s.topic_key, s.context, s.is_test, s.time_zone, s.at,
    s.misfire_grace_s, s.enabled, s.seen_local, s.seen_at, s.next_local, s.next_at, s.created_at, s.updated_at
FROM schedule s, generate_series(1, :copies) AS n
WHERE s.id = :id AND s.brand_id = :brand_id

-- name: taken
-- Those that were planned, and when the last of them was.
SELECT count(*), max(published_at) FROM execution WHERE brand_id = :brand_id AND published_at IS NOT NULL
