-- name: client_exists
SELECT true FROM hub_client WHERE id = :client_id AND brand_id = :brand_id AND revoked_at IS NULL

-- name: executes
SELECT true FROM client_channel WHERE client_id = :client_id AND number = :channel AND brand_id = :brand_id

-- name: count_listeners
SELECT count(*)::integer FROM listener WHERE brand_id = :brand_id

-- name: find_key
SELECT id FROM listener
WHERE client_id = :client_id AND event = :event AND coalesce(channel, 0) = coalesce(:channel::integer, 0) AND brand_id = :brand_id

-- name: put_listener
-- Registered anew it is enabled, wherever it leads now, and what waits goes there.
INSERT INTO listener AS l (id, brand_id, client_id, event, channel, url, created_at, updated_at)
VALUES (:id, :brand_id, :client_id, :event, :channel, :url, :now, :now)
ON CONFLICT (client_id, event, coalesce(channel, 0)) DO UPDATE
SET url = excluded.url, updated_at = excluded.updated_at, failing_since = NULL, failures = 0, waits_until = NULL,
    disabled_at = NULL, disabled_why = ''
WHERE l.brand_id = :brand_id
RETURNING l.id

-- name: by_id
SELECT l.id, l.brand_id, l.client_id, l.event, l.channel, l.url, l.created_at, l.updated_at, l.answered_at, l.answer,
    l.delivered_at, l.failing_since, l.failures, l.disabled_at, l.disabled_why,
    (
        SELECT count(*)::integer
        FROM (SELECT FROM notice n WHERE n.listener_id = l.id AND n.brand_id = :brand_id AND n.ended_at IS NULL LIMIT :backlog) w
    ) AS waiting
FROM listener l
WHERE l.brand_id = :brand_id AND l.id = :id

-- name: lock_listener
SELECT id FROM listener WHERE brand_id = :brand_id AND id = :id FOR NO KEY UPDATE

-- name: of_brand
SELECT l.id, l.brand_id, l.client_id, l.event, l.channel, l.url, l.created_at, l.updated_at, l.answered_at, l.answer,
    l.delivered_at, l.failing_since, l.failures, l.disabled_at, l.disabled_why,
    (
        SELECT count(*)::integer
        FROM (SELECT FROM notice n WHERE n.listener_id = l.id AND n.brand_id = :brand_id AND n.ended_at IS NULL LIMIT :backlog) w
    ) AS waiting
FROM listener l
WHERE l.brand_id = :brand_id AND (:client_id::uuid IS NULL OR l.client_id = :client_id::uuid)
    AND (:after::uuid IS NULL OR l.id > :after::uuid)
ORDER BY l.id
LIMIT :limit

-- name: update_listener
UPDATE listener
SET url = :url, updated_at = :now, failing_since = NULL, failures = 0, waits_until = NULL, disabled_at = NULL, disabled_why = ''
WHERE brand_id = :brand_id AND id = :id

-- name: disable_listener
UPDATE listener SET disabled_at = :now, disabled_why = :why, updated_at = :now
WHERE brand_id = :brand_id AND id = :id AND disabled_at IS NULL

-- name: miss_waiting
-- What waits for a listener that was disabled; what is on its way may still get its yes.
UPDATE notice SET ended_at = :now, outcome = 'missed'
WHERE brand_id = :brand_id AND listener_id = :id AND ended_at IS NULL AND (lease_until IS NULL OR lease_until <= :now)

-- name: delete_listener
DELETE FROM listener WHERE brand_id = :brand_id AND id = :id

-- name: generation
SELECT generation FROM client_signing WHERE client_id = :client_id AND brand_id = :brand_id

-- name: rotate
INSERT INTO client_signing AS s (client_id, brand_id, generation, rotated_at) VALUES (:client_id, :brand_id, 2, :now)
ON CONFLICT (client_id) DO UPDATE SET generation = s.generation + 1, rotated_at = excluded.rotated_at
WHERE s.brand_id = :brand_id
RETURNING generation

-- name: notices
-- The newest first.
SELECT id, listener_id, event, body, execution_id, made_at, CASE WHEN ended_at IS NULL THEN due_at END AS due_at, tries, status,
    answer, answered_at, coalesce(outcome, 'waiting') AS state
FROM notice
WHERE brand_id = :brand_id AND listener_id = :listener_id AND (:before::uuid IS NULL OR id < :before::uuid)
    AND (:state::text IS NULL OR coalesce(outcome, 'waiting') = :state::text)
ORDER BY id DESC
LIMIT :limit

-- name: replay
-- The oldest first, each with its id and its bytes, as if it had just been made. What is on its way is left alone, and what must not be
-- told any more.
UPDATE notice n
SET due_at = :now, tries = 0, lease_until = NULL, ended_at = NULL, outcome = NULL
FROM (
    SELECT id
    FROM notice
    WHERE brand_id = :brand_id AND listener_id = :listener_id AND ended_at IS NOT NULL AND made_at >= :since AND made_at < :until
        AND outcome <> 'withdrawn' AND (outcome <> 'delivered' OR :delivered_too)
        AND (:id::uuid IS NULL OR id = :id::uuid)
    ORDER BY id
    LIMIT :limit
    FOR UPDATE
) chosen
WHERE n.id = chosen.id AND n.brand_id = :brand_id

-- name: hearing
-- Who hears of something: listeners of those of its channels (null: of no channel), and the general ones of clients that execute
-- one of them. is_full: as many wait as may.
SELECT l.id, l.disabled_at IS NOT NULL AS is_disabled, (
        SELECT count(*) >= :backlog
        FROM (SELECT FROM notice n WHERE n.listener_id = l.id AND n.brand_id = :brand_id AND n.ended_at IS NULL LIMIT :backlog) w
    ) AS is_full
FROM listener l
JOIN hub_client h ON h.id = l.client_id AND h.revoked_at IS NULL
WHERE l.brand_id = :brand_id AND h.brand_id = :brand_id AND l.event = :event
    AND (:client_id::uuid IS NULL OR l.client_id = :client_id::uuid)
    AND (:channels::integer[] IS NULL OR EXISTS (
        SELECT FROM client_channel c
        WHERE c.client_id = l.client_id AND c.brand_id = :brand_id AND c.number = ANY(:channels::integer[])
            AND (l.channel IS NULL OR l.channel = c.number)
    ))
ORDER BY l.id

-- name: insert_notices
INSERT INTO notice (id, brand_id, listener_id, event, body, url, execution_id, customer_id, made_at, due_at, ended_at, outcome)
SELECT u.id, :brand_id, u.listener_id, :event, :body, :url, :execution_id, :customer_id, :now,
    greatest(:now, :due_at::timestamptz),
    CASE WHEN u.is_missed THEN :now END, CASE WHEN u.is_missed THEN 'missed' END
FROM unnest(:ids::uuid[], :listener_ids::uuid[], :missed::boolean[]) AS u (id, listener_id, is_missed)

-- name: one_hearing
-- Of those who hear of a channel's people the one who is told: it can hear, it is the channel's own, it is the oldest.
SELECT h.id AS listener_id, h.room
FROM (
    SELECT l.id, l.channel, CASE WHEN l.disabled_at IS NULL THEN (
            SELECT :backlog - count(*)::integer
            FROM (
                SELECT FROM notice n WHERE n.listener_id = l.id AND n.brand_id = :brand_id AND n.ended_at IS NULL LIMIT :backlog
            ) w
        ) ELSE 0 END AS room
    FROM listener l
    JOIN hub_client k ON k.id = l.client_id AND k.brand_id = :brand_id AND k.revoked_at IS NULL
    JOIN client_channel c ON c.client_id = l.client_id AND c.brand_id = :brand_id AND c.number = :channel
    WHERE l.brand_id = :brand_id AND l.event = :event AND (l.channel IS NULL OR l.channel = c.number)
) h
ORDER BY h.room = 0, h.channel IS NULL, h.id
LIMIT 1

-- name: insert_each
INSERT INTO notice (id, brand_id, listener_id, event, body, execution_id, customer_id, made_at, due_at)
SELECT u.id, :brand_id, :listener_id, :event, u.body, :execution_id, u.customer_id, :now, :now
FROM unnest(:ids::uuid[], :customer_ids::uuid[], :bodies::text[]) AS u (id, customer_id, body)
