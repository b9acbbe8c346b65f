-- name: anything_due
-- all brands: the notifier delivers for all of them.
SELECT EXISTS (SELECT FROM notice WHERE ended_at IS NULL AND due_at <= :now)
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)

-- name: lock_ready
-- all brands: the notifier delivers for all of them.
-- Listeners that may have one more request and have something due, of each brand as many as it may have requests more, whoever was
-- served longest ago first. They are locked so that the next statement, which sees what was committed until then, counts what is on its
-- way to each; a restored copy has none.
WITH way AS MATERIALIZED (
    SELECT b.listener_id, b.brand_id, count(*) AS requests
    FROM notice b
    WHERE b.lease_until > :now AND b.ended_at IS NULL
    GROUP BY b.listener_id, b.brand_id
), ready AS MATERIALIZED (
    SELECT l.id, l.served_at, row_number() OVER (PARTITION BY l.brand_id ORDER BY l.served_at NULLS FIRST, l.id)
        + coalesce((SELECT sum(w.requests) FROM way w WHERE w.brand_id = l.brand_id), 0) AS place
    FROM listener l
    LEFT JOIN way o ON o.listener_id = l.id
    WHERE l.disabled_at IS NULL AND (l.waits_until IS NULL OR l.waits_until <= :now)
        AND coalesce(o.requests, 0) < CASE WHEN l.failing_since IS NULL THEN :at_once ELSE 1 END
        AND EXISTS (SELECT FROM notice n WHERE n.listener_id = l.id AND n.ended_at IS NULL AND n.due_at <= :now)
        AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
)
SELECT l.id
FROM listener l
JOIN ready r ON r.id = l.id
WHERE r.place <= :of_brand
ORDER BY r.served_at NULLS FIRST, r.id
LIMIT :limit
FOR NO KEY UPDATE OF l SKIP LOCKED

-- name: note_served
-- all brands: the ids were locked a moment ago.
UPDATE listener SET served_at = :now WHERE id = ANY(:listener_ids)

-- name: take
-- all brands: the ids were locked a moment ago.
-- One of each before a second of any, and of each brand as many as it may have requests more. A listener that fails gets one at a time,
-- so that many that hang take no more of the notifier than a few that work. What was claimed is due again when its lease is over, as if
-- it had failed.
UPDATE notice n
SET lease_until = :now + :lease, due_at = :now + :lease, tries = least(n.tries + 1, 1000)
FROM (
    SELECT t.id, t.listener_id, t.client_id, t.brand_id, t.url, coalesce(s.generation, 1) AS generation,
        coalesce(s.rotated_at > :now - :both_for::interval, false) AS is_new
    FROM (
        SELECT d.id, l.id AS listener_id, l.client_id, l.brand_id, l.url, l.served_at, d.turn,
            row_number() OVER (PARTITION BY l.brand_id ORDER BY d.turn, l.served_at NULLS FIRST, l.id) AS place
        FROM listener l
        CROSS JOIN LATERAL (
            SELECT due.id, row_number() OVER (ORDER BY due.due_at, due.id) AS turn
            FROM (
                SELECT w.id, w.due_at
                FROM notice w
                WHERE w.listener_id = l.id AND w.ended_at IS NULL AND w.due_at <= :now
                ORDER BY w.due_at, w.id
                LIMIT greatest(0, CASE WHEN l.failing_since IS NULL THEN :at_once ELSE 1 END - (
                    SELECT count(*) FROM notice b WHERE b.listener_id = l.id AND b.lease_until > :now AND b.ended_at IS NULL
                ))
                FOR UPDATE SKIP LOCKED
            ) due
        ) d
        WHERE l.id = ANY(:listener_ids)
    ) t
    LEFT JOIN client_signing s ON s.client_id = t.client_id
    LEFT JOIN (
        SELECT b.brand_id, count(*) AS requests
        FROM notice b
        WHERE b.lease_until > :now AND b.ended_at IS NULL
        GROUP BY b.brand_id
    ) way ON way.brand_id = t.brand_id
    WHERE t.place <= :of_brand - coalesce(way.requests, 0)
    ORDER BY t.turn, t.served_at NULLS FIRST, t.listener_id
    LIMIT :limit
) taken
WHERE n.id = taken.id
RETURNING n.id, taken.brand_id, taken.listener_id, taken.client_id, n.event, n.body, n.tries, coalesce(n.url, taken.url) AS url,
    taken.generation, taken.is_new

-- name: withdraw
-- Those of them that must not be told any more: to a client that was revoked, or that executes the channel no longer; and of somebody
-- who met a trigger and has said no since, or whose run is over.
UPDATE notice n
SET ended_at = :now, outcome = 'withdrawn', lease_until = NULL, tries = n.tries - 1
FROM (
    SELECT m.id, m.execution_id, m.customer_id, m.event, l.client_id, h.revoked_at,
        coalesce(m.body::jsonb ->> 'ChannelID', m.body::jsonb ->> 'channelID', m.body::jsonb ->> 'channel')::integer AS channel
    FROM notice m
    JOIN listener l ON l.id = m.listener_id AND l.brand_id = :brand_id
    JOIN hub_client h ON h.id = l.client_id AND h.brand_id = :brand_id
    WHERE m.id = ANY(:ids) AND m.brand_id = :brand_id
) o
WHERE n.id = o.id AND n.brand_id = :brand_id AND (
    o.revoked_at IS NOT NULL
    OR o.execution_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM partner_run r
        JOIN client_channel c
            ON c.client_id = o.client_id AND c.brand_id = :brand_id AND c.number = ANY(r.channels || r.held_channels)
        WHERE r.execution_id = o.execution_id AND r.brand_id = :brand_id AND (o.channel IS NULL OR c.number = o.channel)
    )
    OR o.event = 'trigger_met' AND (
        EXISTS (
            SELECT FROM execution e
            WHERE e.id = o.execution_id AND e.brand_id = :brand_id
                AND (e.state IN ('cancelled', 'failed') OR e.deadline_at <= :now)
        ) OR EXISTS (
            SELECT FROM revocation v
            WHERE v.execution_id = o.execution_id AND v.customer_id = o.customer_id AND v.channel_number = o.channel
                AND v.brand_id = :brand_id
        )
    )
)
RETURNING n.id

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
-- How long it has been failing, in seconds. It rests for as long again, so that one that hangs with thousands waiting takes little of the
-- notifier; or for as long as it asked for.
UPDATE listener
SET answered_at = :now, answer = :answer, failing_since = coalesce(failing_since, :now), failures = failures + 1,
    waits_until = greatest(
        waits_until, :now + :pause::interval,
        :now + least(greatest(:rest::interval, :now - failing_since), :rest_max::interval)
    )
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
