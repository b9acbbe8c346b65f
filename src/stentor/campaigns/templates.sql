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

-- name: page_of_versions
SELECT version, default_language, ARRAY(SELECT jsonb_object_keys(variants)) AS languages, created_at
FROM template_version
WHERE template_id = :id AND brand_id = :brand_id
ORDER BY version DESC
LIMIT :limit

-- name: find_version
SELECT t.id, t.name, t.channel, v.version, v.default_language, v.variants::text AS variants, t.created_at,
    v.created_at AS updated_at
FROM template t
JOIN template_version v ON v.template_id = t.id
WHERE t.id = :id AND t.brand_id = :brand_id AND v.brand_id = :brand_id AND v.version = :version

-- name: uses_of_templates
-- All campaigns of the brand are read once, however many templates are asked for.
SELECT said.template_id::uuid AS template_id, c.id AS campaign_id, c.name AS campaign_name, said.step, said.route
FROM campaign c
CROSS JOIN LATERAL (
    SELECT own.item ->> 'template_id' AS template_id, 0 AS step, (own.place - 1)::integer AS route
    FROM jsonb_array_elements(c.routes) WITH ORDINALITY AS own (item, place)
    UNION ALL
    SELECT later.item ->> 'template_id', steps.place::integer, (later.place - 1)::integer
    FROM jsonb_array_elements(c.steps) WITH ORDINALITY AS steps (item, place)
    CROSS JOIN LATERAL jsonb_array_elements(steps.item -> 'routes') WITH ORDINALITY AS later (item, place)
) said
WHERE c.brand_id = :brand_id AND said.template_id = ANY(:ids::uuid[]::text[])
ORDER BY c.name, c.id, said.step, said.route
LIMIT :limit

-- name: generators_of_campaigns
SELECT id, name, campaign_id
FROM event_generator
WHERE brand_id = :brand_id AND campaign_id = ANY(:ids::uuid[])
ORDER BY name, id
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
