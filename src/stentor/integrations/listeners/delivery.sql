-- name: anything_due
-- all brands: the notifier delivers for all of them.
SELECT EXISTS (SELECT FROM notice WHERE ended_at IS NULL AND due_at <= :now)
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)

-- name: lock_ready
-- all brands: the notifier delivers for all of them.
-- Listeners with something due, whoever was served longest ago first. They are locked so that the next statement, which sees what
-- was committed until then, counts what is on its way to each; a restored copy has none.
SELECT l.id
FROM listener l
WHERE l.disabled_at IS NULL AND (l.waits_until IS NULL OR l.waits_until <= :now)
    AND EXISTS (SELECT FROM notice n WHERE n.listener_id = l.id AND n.ended_at IS NULL AND n.due_at <= :now)
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY l.served_at NULLS FIRST
LIMIT :limit
FOR NO KEY UPDATE OF l SKIP LOCKED

-- name: note_served
-- all brands: the ids were locked a moment ago.
UPDATE listener SET served_at = :now WHERE id = ANY(:listener_ids)

-- name: take
-- all brands: the ids were locked a moment ago.
-- A listener that fails gets one at a time, so that many that hang take no more of the notifier than a few that work. What was
-- claimed is due again when its lease is over, as if it had failed.
UPDATE notice n
SET lease_until = :now + :lease, due_at = :now + :lease, tries = least(n.tries + 1, 1000)
FROM (
    SELECT due.id, l.id AS listener_id, l.client_id, l.brand_id, l.url, coalesce(s.generation, 1) AS generation,
        coalesce(s.rotated_at > :now - :both_for::interval, false) AS is_new
    FROM listener l
    LEFT JOIN client_signing s ON s.client_id = l.client_id
    CROSS JOIN LATERAL (
        SELECT w.id
        FROM notice w
        WHERE w.listener_id = l.id AND w.ended_at IS NULL AND w.due_at <= :now
        ORDER BY w.due_at, w.id
        LIMIT greatest(0, CASE WHEN l.failing_since IS NULL THEN :at_once ELSE 1 END - (
            SELECT count(*) FROM notice b WHERE b.listener_id = l.id AND b.lease_until > :now AND b.ended_at IS NULL
        ))
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE l.id = ANY(:listener_ids)
    LIMIT :limit
) taken
WHERE n.id = taken.id
RETURNING n.id, taken.brand_id, taken.listener_id, taken.client_id, n.event, n.body, n.tries, coalesce(n.url, taken.url) AS url,
    taken.generation, taken.is_new

-- name: end_notice
-- Only by whoever has it: after a lease was over, another one may be trying it.
UPDATE notice
SET ended_at = :now, outcome = :outcome, status = :status, answer = :answer, answered_at = :now, lease_until = NULL
WHERE brand_id = :brand_id AND id = :id AND tries = :tries AND ended_at IS NULL

-- name: put_off
UPDATE notice
SET due_at = :now + :wait, status = :status, answer = :answer, answered_at = :now, lease_until = NULL
WHERE brand_id = :brand_id AND id = :id AND tries = :tries AND ended_at IS NULL

-- name: note_yes
UPDATE listener
SET answered_at = :now, answer = :answer, delivered_at = :now, failing_since = NULL, failures = 0, waits_until = NULL
WHERE brand_id = :brand_id AND id = :id

-- name: note_no
-- How long it has been failing, in seconds.
UPDATE listener
SET answered_at = :now, answer = :answer, failing_since = coalesce(failing_since, :now), failures = failures + 1,
    waits_until = CASE WHEN :pause::interval IS NULL THEN waits_until ELSE :now + :pause::interval END
WHERE brand_id = :brand_id AND id = :id
RETURNING extract(epoch FROM :now - failing_since)::float8

-- name: owners
-- all brands: the owners are of the organisation that has this brand.
SELECT u.id
FROM brand b
JOIN membership m ON m.organisation_id = b.organisation_id AND m.brand_id IS NULL AND m.role = 'owner'
JOIN account_user u ON u.id = m.user_id AND u.disabled_at IS NULL
WHERE b.id = :brand_id
ORDER BY u.id
LIMIT :limit

-- name: forget_old
-- all brands: a sweep by age.
DELETE FROM notice
WHERE id IN (
    SELECT id FROM notice WHERE made_at < :now - make_interval(days => :days) ORDER BY made_at LIMIT :limit FOR UPDATE SKIP LOCKED
)

-- name: forget_surplus
-- all brands: a sweep over what is kept of each listener.
DELETE FROM notice
WHERE id IN (
    SELECT s.id
    FROM listener l
    CROSS JOIN LATERAL (
        SELECT n.id FROM notice n WHERE n.listener_id = l.id ORDER BY n.id DESC OFFSET :kept LIMIT :limit
    ) s
    LIMIT :limit
)
