-- name: insert_sender
INSERT INTO sender (
    id, brand_id, name, channel, kind, settings, secret, enabled, in_doubt, pace_per_s, paused_at, created_at, updated_at
)
VALUES (
    :id, :brand_id, :name, :channel, :kind, :settings, :secret, :enabled, :in_doubt, :pace_per_s,
    CASE WHEN :enabled THEN NULL ELSE :now END, :now, :now
)
ON CONFLICT (brand_id, name) WHERE deleted_at IS NULL DO NOTHING

-- name: insert_sandboxes
INSERT INTO sender (id, brand_id, name, channel, kind, enabled, created_at, updated_at)
SELECT s.id, :brand_id, s.name, s.channel, 'sandbox', true, :now, :now
FROM unnest(:ids::uuid[], :names::text[], :channels::smallint[]) AS s (id, name, channel)
ON CONFLICT (brand_id, name) WHERE deleted_at IS NULL DO NOTHING

-- name: sender_by_id
SELECT * FROM sender_facts WHERE brand_id = :brand_id AND id = :id

-- name: sender_at_work
-- A deleted one too: a wave that is on its way ends in order.
SELECT id, brand_id, name, channel, kind, settings, secret IS NOT NULL AS has_secret, enabled, in_doubt, pace_per_s,
    paused_at, created_at, updated_at
FROM sender
WHERE brand_id = :brand_id AND id = :id

-- name: lock_sender
SELECT * FROM sender_facts WHERE brand_id = :brand_id AND id = :id FOR UPDATE

-- name: sender_by_name
SELECT * FROM sender_facts WHERE brand_id = :brand_id AND name = :name

-- name: senders_of_brand
SELECT *
FROM sender_facts
WHERE brand_id = :brand_id AND id > :after
ORDER BY id
LIMIT :limit

-- name: default_sender
-- A paused one stays the default: whoever pauses it wants messages to wait, not to go elsewhere. What a service pulls goes there
-- by its own templates, which are chosen.
SELECT *
FROM sender_facts
WHERE brand_id = :brand_id AND channel = :channel AND enabled AND kind <> 'listener'
ORDER BY kind = 'sandbox', created_at DESC, id DESC
LIMIT 1

-- name: sealed_secret
SELECT secret FROM sender WHERE brand_id = :brand_id AND id = :id

-- name: update_sender
UPDATE sender
SET name = :name, settings = :settings, secret = :secret, enabled = :enabled, in_doubt = :in_doubt,
    pace_per_s = :pace_per_s, updated_at = :now,
    paused_at = CASE
        WHEN NOT :enabled THEN coalesce(paused_at, :now)
        WHEN enabled THEN paused_at
    END
WHERE brand_id = :brand_id AND id = :id

-- name: pause_sender
-- updated_at stays: it says which settings a channel was opened with, and those have not changed.
UPDATE sender SET paused_at = coalesce(paused_at, :now) WHERE brand_id = :brand_id AND id = :id

-- name: resume_sender
UPDATE sender SET paused_at = NULL WHERE brand_id = :brand_id AND id = :id

-- name: delete_sender
UPDATE sender
SET deleted_at = :now, enabled = false, paused_at = coalesce(paused_at, :now), secret = NULL, updated_at = :now
WHERE brand_id = :brand_id AND id = :id

-- name: restore_listener
-- A partner channel that comes back has the sender that it had: what waits for it can be pulled again.
UPDATE sender
SET deleted_at = NULL, enabled = true, paused_at = NULL, updated_at = :now
WHERE brand_id = :brand_id AND id = :id AND kind = 'listener'

-- name: count_senders
-- Those of partner channels are counted as such.
SELECT count(*)::integer FROM sender WHERE brand_id = :brand_id AND deleted_at IS NULL AND kind <> 'listener'
