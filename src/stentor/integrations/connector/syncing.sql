-- Keeping hubs up to date: listeners, templates and apps.

-- name: due
-- all brands: the connector's role serves all of them.
-- Those whose time it is, those whose templates are not what the hub was told, and those that hubs are to forget; a copy that was not
-- let go has none.
SELECT c.id, c.brand_id
FROM connector c
WHERE NOT EXISTS (SELECT FROM installation i WHERE i.paused_at IS NOT NULL) AND (
    (c.sync_at <= :now AND (c.enabled OR c.listener_url <> '' OR c.deleted_at IS NOT NULL)) OR (c.enabled AND c.failures = 0 AND c.synced_at IS NOT NULL AND EXISTS (
        SELECT FROM connector_channel k
        JOIN template t ON t.brand_id = k.brand_id AND t.channel = k.channel
        LEFT JOIN connector_template m ON m.connector_id = k.connector_id AND m.channel_number = k.number AND m.template_id = t.id
        WHERE k.connector_id = c.id AND k.brand_id = c.brand_id AND m.told_name IS DISTINCT FROM t.name
    )) OR (c.enabled AND c.failures = 0 AND c.synced_at IS NOT NULL AND EXISTS (
        SELECT FROM connector_template m
        WHERE m.connector_id = c.id AND m.brand_id = c.brand_id AND m.told_name IS NOT NULL
            AND NOT EXISTS (SELECT FROM template t WHERE t.id = m.template_id AND t.brand_id = m.brand_id)
    ))
)
ORDER BY c.sync_at
LIMIT :limit

-- name: take
-- This process alone syncs it, as long as the lease is. Somebody may have been faster.
UPDATE connector SET sync_at = :now + :lease::interval
WHERE id = :id AND brand_id = :brand_id AND id IN (
    SELECT o.id FROM connector o WHERE o.id = :id AND o.brand_id = :brand_id FOR UPDATE SKIP LOCKED
)
RETURNING true

-- name: number_templates
-- Each template that has no TemplateID yet gets the next one; what has one keeps it for ever.
WITH fresh AS (
    SELECT t.id, k.number, row_number() OVER (ORDER BY k.number, t.id) AS place
    FROM connector_channel k
    JOIN template t ON t.brand_id = k.brand_id AND t.channel = k.channel
    WHERE k.connector_id = :id AND k.brand_id = :brand_id AND NOT EXISTS (
        SELECT FROM connector_template m
        WHERE m.connector_id = k.connector_id AND m.channel_number = k.number AND m.template_id = t.id
    )
), counted AS (
    UPDATE connector SET last_number = last_number + (SELECT count(*) FROM fresh)::integer
    WHERE id = :id AND brand_id = :brand_id
    RETURNING last_number - (SELECT count(*) FROM fresh)::integer AS before
)
INSERT INTO connector_template (connector_id, number, channel_number, brand_id, template_id)
SELECT :id, c.before + f.place::integer, f.number, :brand_id, f.id
FROM fresh f CROSS JOIN counted c

-- name: templates
-- What each is called here, null where it is gone or of another channel by now, and what the hub was told.
SELECT m.channel_number, m.number, t.name, m.told_name
FROM connector_template m
LEFT JOIN connector_channel k ON k.connector_id = m.connector_id AND k.number = m.channel_number
LEFT JOIN template t ON t.id = m.template_id AND t.brand_id = m.brand_id AND t.channel = k.channel
WHERE m.connector_id = :id AND m.brand_id = :brand_id
ORDER BY m.channel_number, m.number

-- name: note_templates
UPDATE connector_template m SET told_name = n.name
FROM unnest(:numbers::integer[], :names::text[]) AS n (number, name)
WHERE m.connector_id = :id AND m.brand_id = :brand_id AND m.number = n.number

-- name: apps
SELECT number, app_id, app_name, told_app, registered FROM connector_channel
WHERE connector_id = :id AND brand_id = :brand_id ORDER BY number

-- name: note_app
UPDATE connector_channel SET told_app = :told_app WHERE connector_id = :id AND brand_id = :brand_id AND number = :number

-- name: note_registered
UPDATE connector_channel SET registered = true WHERE connector_id = :id AND brand_id = :brand_id AND number = :number

-- name: note_url
-- Before anything is registered there: from now on there is something that the hub may have to forget.
UPDATE connector SET listener_url = :url WHERE id = :id AND brand_id = :brand_id AND deleted_at IS NULL

-- name: note_left
-- Somebody who switched it on meanwhile has it joined again.
UPDATE connector
SET listener_url = '', failures = 0, last_error = :error, sync_at = CASE WHEN enabled THEN :now ELSE sync_at END
WHERE id = :id AND brand_id = :brand_id
RETURNING deleted_at IS NOT NULL

-- name: told
-- What the hub was told of: templates by their channels, and apps.
SELECT m.channel_number, m.number
FROM connector_template m
WHERE m.connector_id = :id AND m.brand_id = :brand_id AND m.told_name IS NOT NULL
ORDER BY m.channel_number, m.number

-- name: note_synced
UPDATE connector SET sync_at = :now + :rest::interval WHERE id = :id AND brand_id = :brand_id

-- name: note_trouble
UPDATE connector
SET failures = failures + 1, sync_at = :now + least(power(2, least(failures, 10)) * 5, 3600) * interval '1 second',
    last_error = :error, failed_at = :now
WHERE id = :id AND brand_id = :brand_id
