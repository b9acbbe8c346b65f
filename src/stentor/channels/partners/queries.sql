-- name: insert_channel
-- A number that was used before comes back with what it was: the kind of channel and the sender stay.
INSERT INTO partner_channel (brand_id, number, name, channel, sender_id, created_at, updated_at)
VALUES (:brand_id, :number, :name, :channel, :sender_id, :now, :now)
ON CONFLICT (brand_id, number) DO UPDATE
SET name = excluded.name, deleted_at = NULL, created_at = excluded.created_at, updated_at = excluded.updated_at
WHERE partner_channel.deleted_at IS NOT NULL

-- name: next_number
SELECT greatest(coalesce(max(number), 0) + 1, :first)
FROM partner_channel
WHERE brand_id = :brand_id AND number >= :first

-- name: count_numbers
-- Also of those that were deleted.
SELECT count(*)::integer FROM partner_channel WHERE brand_id = :brand_id

-- name: count_template_numbers
-- Also of those that were deleted.
SELECT count(*)::integer FROM partner_template WHERE brand_id = :brand_id AND channel_number = :channel_number

-- name: count_channels
SELECT count(*)::integer FROM partner_channel WHERE brand_id = :brand_id AND deleted_at IS NULL

-- name: former_channel
-- Also one that was deleted.
SELECT number, name, channel, sender_id, deleted_at IS NOT NULL
FROM partner_channel
WHERE brand_id = :brand_id AND number = :number
FOR UPDATE

-- name: channel_by_number
SELECT brand_id, number, name, channel, sender_id, created_at, updated_at
FROM partner_channel
WHERE brand_id = :brand_id AND number = :number AND deleted_at IS NULL

-- name: channel_by_sender
-- Also one that was deleted: what went out by it is still told by its number.
SELECT brand_id, number, name, channel, sender_id, created_at, updated_at
FROM partner_channel
WHERE brand_id = :brand_id AND sender_id = :sender_id

-- name: lock_channels
SELECT brand_id, number, name, channel, sender_id, created_at, updated_at
FROM partner_channel
WHERE brand_id = :brand_id AND number = ANY(:numbers) AND deleted_at IS NULL
ORDER BY number
FOR NO KEY UPDATE

-- name: channels_of_brand
SELECT brand_id, number, name, channel, sender_id, created_at, updated_at
FROM partner_channel
WHERE brand_id = :brand_id AND number > :after AND deleted_at IS NULL
ORDER BY number
LIMIT :limit

-- name: rename_channel
UPDATE partner_channel SET name = :name, updated_at = :now WHERE brand_id = :brand_id AND number = :number

-- name: delete_channel
UPDATE partner_channel SET deleted_at = :now, updated_at = :now WHERE brand_id = :brand_id AND number = :number

-- name: delete_grants
DELETE FROM client_channel WHERE brand_id = :brand_id AND number = :number

-- name: delete_templates_of
UPDATE partner_template
SET deleted_at = :now, updated_at = :now
WHERE brand_id = :brand_id AND channel_number = :number AND deleted_at IS NULL

-- name: delete_apps_of
DELETE FROM partner_app WHERE brand_id = :brand_id AND channel_number = :number

-- name: templates_among
-- Those of a channel that are there, of these numbers.
SELECT id, brand_id, channel_number, number, name, app_id, created_at, updated_at
FROM partner_template
WHERE brand_id = :brand_id AND channel_number = :channel_number AND number = ANY(:numbers) AND deleted_at IS NULL
ORDER BY number

-- name: count_templates
SELECT count(*)::integer
FROM partner_template
WHERE brand_id = :brand_id AND channel_number = :channel_number AND deleted_at IS NULL

-- name: upsert_templates
-- What comes back after its deletion keeps its id, so that the campaigns that name it go on.
INSERT INTO partner_template (brand_id, channel_number, number, id, name, app_id, created_at, updated_at)
SELECT :brand_id, :channel_number, n.number, n.id, n.name, n.app_id, :now, :now
FROM unnest(:numbers::integer[], :ids::uuid[], :names::text[], :app_ids::text[]) AS n (number, id, name, app_id)
ON CONFLICT (brand_id, channel_number, number) DO UPDATE
SET name = excluded.name, app_id = excluded.app_id, updated_at = excluded.updated_at, deleted_at = NULL,
    created_at = CASE
        WHEN partner_template.deleted_at IS NULL THEN partner_template.created_at
        ELSE excluded.created_at
    END
WHERE partner_template.deleted_at IS NOT NULL OR partner_template.name <> excluded.name
    OR partner_template.app_id IS DISTINCT FROM excluded.app_id

-- name: delete_templates
UPDATE partner_template t
SET deleted_at = :now, updated_at = :now
FROM unnest(:channel_numbers::integer[], :numbers::integer[]) AS k (channel_number, number)
WHERE t.brand_id = :brand_id AND t.channel_number = k.channel_number AND t.number = k.number AND t.deleted_at IS NULL
RETURNING t.channel_number, t.number, t.name

-- name: templates_of_channel
SELECT id, brand_id, channel_number, number, name, app_id, created_at, updated_at
FROM partner_template
WHERE brand_id = :brand_id AND channel_number = :channel_number AND number > :after AND deleted_at IS NULL
ORDER BY number
LIMIT :limit

-- name: template_by_id
SELECT id, brand_id, channel_number, number, name, app_id, created_at, updated_at
FROM partner_template
WHERE brand_id = :brand_id AND id = :id AND deleted_at IS NULL

-- name: count_apps
SELECT count(*)::integer FROM partner_app WHERE brand_id = :brand_id AND channel_number = :channel_number

-- name: apps_among
SELECT channel_number, app_id, name, created_at, updated_at
FROM partner_app
WHERE brand_id = :brand_id AND channel_number = :channel_number AND app_id = ANY(:app_ids)

-- name: upsert_apps
INSERT INTO partner_app (brand_id, channel_number, app_id, name, created_at, updated_at)
SELECT :brand_id, :channel_number, n.app_id, n.name, :now, :now
FROM unnest(:app_ids::text[], :names::text[]) AS n (app_id, name)
ON CONFLICT (brand_id, channel_number, app_id) DO UPDATE
SET name = excluded.name, updated_at = excluded.updated_at
WHERE partner_app.name <> excluded.name

-- name: delete_apps
DELETE FROM partner_app a
USING unnest(:channel_numbers::integer[], :app_ids::text[]) AS k (channel_number, app_id)
WHERE a.brand_id = :brand_id AND a.channel_number = k.channel_number AND a.app_id = k.app_id
RETURNING a.channel_number, a.app_id, a.name

-- name: apps_of_channel
-- In the order of their bytes, which is the same everywhere.
SELECT channel_number, app_id, name, created_at, updated_at
FROM partner_app
WHERE brand_id = :brand_id AND channel_number = :channel_number AND app_id COLLATE "C" > :after
ORDER BY app_id COLLATE "C"
LIMIT :limit
