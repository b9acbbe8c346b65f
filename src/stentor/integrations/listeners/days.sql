-- name: zone
SELECT coalesce(settings ->> 'default_time_zone', 'UTC') FROM brand WHERE id = :brand_id

-- name: now
SELECT :now

-- name: note_published
INSERT INTO listener_day (brand_id, day, published_at) VALUES (:brand_id, :day, :now)
ON CONFLICT (brand_id, day) DO UPDATE SET published_at = excluded.published_at

-- name: unprocessed
-- all brands: the keeper tells for all of them; each row says whose it is.
-- Days on which something was published since listeners were last told that all of it was. In a restored copy, since it was let go:
-- the installation that was copied tells of what came before.
SELECT d.day, d.brand_id
FROM listener_day d
WHERE (d.processed_at IS NULL OR d.processed_at < d.published_at) AND d.published_at IS NOT NULL AND d.day >= :since
    AND (d.day, d.brand_id) > (:after_day::date, :after_brand_id::uuid)
    AND EXISTS (SELECT FROM listener l WHERE l.brand_id = d.brand_id AND l.event = 'day_processed')
    AND NOT EXISTS (SELECT FROM installation i WHERE i.paused_at IS NOT NULL OR i.resumed_at >= d.published_at)
ORDER BY d.day, d.brand_id
LIMIT :limit

-- name: lock_unprocessed
SELECT true
FROM listener_day
WHERE brand_id = :brand_id AND day = :day AND published_at IS NOT NULL AND (processed_at IS NULL OR processed_at < published_at)
FOR UPDATE SKIP LOCKED

-- name: more_to_come
-- Whether anything of the brand is still to be published before that time: runs that wait, also to be cleared, and schedules that will ring.
SELECT EXISTS (
        SELECT FROM execution WHERE brand_id = :brand_id AND NOT is_test AND state = 'queued'
    ) OR EXISTS (
        SELECT FROM execution WHERE brand_id = :brand_id AND NOT is_test AND state = 'scheduled' AND start_at < :until
    ) OR EXISTS (
        SELECT FROM partner_run r
        JOIN execution e ON e.id = r.execution_id AND e.state = 'sending'
        WHERE r.brand_id = :brand_id AND r.held_channels <> '{}' AND r.required_by < :until
    ) OR EXISTS (SELECT FROM slice WHERE brand_id = :brand_id AND planned_at IS NULL) OR EXISTS (SELECT FROM schedule WHERE brand_id = :brand_id AND NOT is_test AND enabled AND next_at < :until)
    OR EXISTS (SELECT FROM partner_event WHERE brand_id = :brand_id AND told_at IS NULL AND put_off_until IS NULL)

-- name: note_processed
UPDATE listener_day SET processed_at = :now WHERE brand_id = :brand_id AND day = :day

-- name: brands_to_close
-- all brands: the keeper closes the day of each.
-- Since when it does: since the first listener, and in a restored copy since it was let go.
SELECT l.brand_id, coalesce(b.settings ->> 'default_time_zone', 'UTC'),
    greatest(min(l.created_at), (SELECT resumed_at FROM installation))
FROM listener l
JOIN brand b ON b.id = l.brand_id
WHERE l.event = 'day_closed' AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
GROUP BY l.brand_id, b.settings

-- name: close_day
-- Once for a day, whoever comes first.
INSERT INTO listener_day (brand_id, day, closed_at) VALUES (:brand_id, :day, :now)
ON CONFLICT (brand_id, day) DO UPDATE SET closed_at = excluded.closed_at WHERE listener_day.closed_at IS NULL

-- name: forget_days
-- all brands: a sweep by age.
DELETE FROM listener_day WHERE day < :until
