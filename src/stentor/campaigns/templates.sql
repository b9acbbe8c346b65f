-- Templates and their immutable versions.

-- name: insert_template
INSERT INTO template (id, brand_id, name, channel, version, created_at, updated_at)
VALUES (:id, :brand_id, :name, :channel, 1, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: insert_version
INSERT INTO template_version (template_id, version, brand_id, default_language, variants, created_at)
VALUES (:template_id, :version, :brand_id, :default_language, :variants, :now)

-- name: find_template
SELECT t.id, t.name, t.channel, t.version, v.default_language, v.variants::text AS variants, t.created_at, t.updated_at
FROM template t
JOIN template_version v ON v.template_id = t.id AND v.version = t.version
WHERE t.id = :id AND t.brand_id = :brand_id AND v.brand_id = :brand_id

-- name: page_of_templates
SELECT t.id, t.name, t.channel, t.version, v.default_language,
    ARRAY(SELECT jsonb_object_keys(v.variants)) AS languages, t.created_at, t.updated_at
FROM template t
JOIN template_version v ON v.template_id = t.id AND v.version = t.version
WHERE t.brand_id = :brand_id AND v.brand_id = :brand_id
    AND (:after::uuid IS NULL OR t.id > :after::uuid)
    AND (:channel::smallint IS NULL OR t.channel = :channel::smallint)
ORDER BY t.id
LIMIT :limit

-- name: lock_template
-- Against a second editor, and against a campaign that is being pointed at the template while it is deleted.
SELECT version FROM template WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: lock_templates
-- Shared, in the order of their ids: a campaign that names them, or a publication that freezes them, must not lose them.
SELECT id, channel, version FROM template WHERE id = ANY(:ids::uuid[]) AND brand_id = :brand_id ORDER BY id FOR SHARE

-- name: template_versions
SELECT id, version FROM template WHERE id = ANY(:ids::uuid[]) AND brand_id = :brand_id

-- name: templates_in_full
SELECT t.id, t.name, t.channel, t.version, v.default_language, v.variants::text AS variants, t.created_at, t.updated_at
FROM template t
JOIN template_version v ON v.template_id = t.id AND v.version = t.version
WHERE t.id = ANY(:ids::uuid[]) AND t.brand_id = :brand_id AND v.brand_id = :brand_id

-- name: update_template
UPDATE template SET name = :name, version = :version, updated_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: delete_old_versions
DELETE FROM template_version WHERE template_id = :template_id AND brand_id = :brand_id AND version <= :version

-- name: delete_template
DELETE FROM template WHERE id = :id AND brand_id = :brand_id

-- name: campaigns_with_template
SELECT name
FROM campaign
WHERE brand_id = :brand_id
    AND (
        routes @> jsonb_build_array(jsonb_build_object('template_id', :template_id::uuid::text))
        OR steps @> jsonb_build_array(
            jsonb_build_object('routes', jsonb_build_array(jsonb_build_object('template_id', :template_id::uuid::text)))
        )
    )
ORDER BY name
LIMIT :limit

-- name: count_templates
SELECT count(*)::integer FROM template WHERE brand_id = :brand_id
