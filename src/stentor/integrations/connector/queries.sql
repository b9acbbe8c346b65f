-- Connectors: what somebody set up, and how it stands.

-- name: insert_connector
-- Does nothing when the name is taken, which the caller sees by the count; one that was deleted has none any more.
INSERT INTO connector (id, brand_id, name, url, username, secret, zone, attributes, push_every_s, push_days, created_at, updated_at, sync_at)
VALUES (:id, :brand_id, :name, :url, :username, :secret, :zone, :attributes, :push_every_s, :push_days, :now, :now, :now)
ON CONFLICT (brand_id, name) WHERE deleted_at IS NULL DO NOTHING

-- name: update_connector
-- What was registered at another URL, or with other credentials, is told anew.
UPDATE connector
SET name = :name, url = :url, username = :username, secret = coalesce(:secret::bytea, secret), zone = :zone, attributes = :attributes,
    push_every_s = :push_every_s, push_days = :push_days, enabled = :enabled, updated_at = :now, sync_at = :now, failures = 0,
    last_error = '', listener_url = CASE WHEN :anew THEN '' ELSE listener_url END
WHERE id = :id AND brand_id = :brand_id

-- name: forget_told_templates
UPDATE connector_template SET told_name = NULL WHERE connector_id = :id AND brand_id = :brand_id

-- name: tell_anew
-- What its hub was told may not be there any more.
UPDATE connector_channel SET registered = false, told_app = '' WHERE connector_id = :id AND brand_id = :brand_id

-- name: retire_connector
-- It is nobody's any more, and goes when its hub has been told.
UPDATE connector
SET enabled = false, deleted_at = :now, updated_at = :now, sync_at = :now, failures = 0
WHERE id = :id AND brand_id = :brand_id

-- name: delete_runs
DELETE FROM connector_run WHERE connector_id = :id AND brand_id = :brand_id

-- name: delete_refused
DELETE FROM connector_refused WHERE brand_id = :brand_id AND run_id = ANY(:run_ids::uuid[])

-- name: delete_connector
DELETE FROM connector WHERE id = :id AND brand_id = :brand_id

-- name: run_ids
SELECT id FROM connector_run WHERE connector_id = :id AND brand_id = :brand_id

-- name: delete_people
DELETE FROM connector_person WHERE brand_id = :brand_id AND run_id = ANY(:run_ids::uuid[])

-- name: insert_channel
INSERT INTO connector_channel (connector_id, number, brand_id, campaign_id, channel, app_id, app_name)
VALUES (:connector_id, :number, :brand_id, :campaign_id, :channel, :app_id, :app_name)
ON CONFLICT (connector_id, number) DO UPDATE
SET campaign_id = excluded.campaign_id, channel = excluded.channel, app_id = excluded.app_id, app_name = excluded.app_name
WHERE connector_channel.brand_id = :brand_id

-- name: delete_other_channels
DELETE FROM connector_channel
WHERE connector_id = :connector_id AND brand_id = :brand_id AND number <> ALL(:numbers::integer[])

-- name: find_connector
SELECT id, brand_id, name, url, username, zone, attributes, push_every_s, push_days, enabled, created_at, updated_at, listener_url,
    synced_at, noticed_at, pulled_at, pushed_at, failed_at, last_error, deleted_at
FROM connector
WHERE id = :id AND brand_id = :brand_id AND (:deleted_too OR deleted_at IS NULL)

-- name: lock_connector
SELECT id FROM connector WHERE id = :id AND brand_id = :brand_id AND deleted_at IS NULL FOR UPDATE

-- name: sealed
SELECT id, brand_id, url, username, secret FROM connector WHERE id = :id AND brand_id = :brand_id

-- name: page_of_connectors
SELECT id, brand_id, name, url, username, zone, attributes, push_every_s, push_days, enabled, created_at, updated_at, listener_url,
    synced_at, noticed_at, pulled_at, pushed_at, failed_at, last_error, deleted_at
FROM connector
WHERE brand_id = :brand_id AND deleted_at IS NULL AND (:after::uuid IS NULL OR id > :after::uuid)
ORDER BY id
LIMIT :limit

-- name: count_connectors
SELECT count(*)::integer FROM connector WHERE brand_id = :brand_id AND deleted_at IS NULL

-- name: channels_of
SELECT connector_id, number, campaign_id, channel, app_id, app_name
FROM connector_channel
WHERE brand_id = :brand_id AND connector_id = ANY(:connector_ids::uuid[])
ORDER BY connector_id, number

-- name: campaign_of
-- The campaign itself, of which only what is published runs.
SELECT id, kind, publication_id FROM campaign WHERE id = :id AND brand_id = :brand_id

-- name: routed_channels
-- The channels of the campaign's published routes.
SELECT DISTINCT (r ->> 'channel')::smallint
FROM campaign c
JOIN publication p ON p.id = c.publication_id
CROSS JOIN LATERAL jsonb_array_elements(p.content -> 'routes') AS r
WHERE c.id = :id AND c.brand_id = :brand_id AND p.brand_id = :brand_id

-- name: by_id
-- all brands: a hub's notice names its connector by an unguessable part of the address, before any brand is known.
SELECT brand_id FROM connector WHERE id = :id AND enabled

-- name: note_well
UPDATE connector
SET last_error = '', failures = 0,
    noticed_at = CASE WHEN :what = 'noticed' THEN :now ELSE noticed_at END,
    pulled_at = CASE WHEN :what = 'pulled' THEN :now ELSE pulled_at END,
    pushed_at = CASE WHEN :what = 'pushed' THEN :now ELSE pushed_at END,
    synced_at = CASE WHEN :what = 'synced' THEN :now ELSE synced_at END
WHERE id = :id AND brand_id = :brand_id

-- name: note_failed
UPDATE connector SET last_error = :error, failed_at = :now WHERE id = :id AND brand_id = :brand_id
