-- Campaigns as they are edited.

-- name: insert_campaign
INSERT INTO campaign (id, brand_id, name, consent_basis, kind, mode, lane, routes, policy, experiment, steps, created_at, updated_at)
VALUES (:id, :brand_id, :name, :consent_basis, :kind, :mode, :lane, :routes, :policy, :experiment, :steps, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: find_campaign
SELECT c.id, c.name, c.consent_basis, c.kind, c.mode, c.lane, c.routes::text AS routes, c.policy::text AS policy,
    c.experiment::text AS experiment, c.steps::text AS steps,
    c.publication_id, p.created_at AS published_at, p.content ->> 'made_from' AS made_from, c.created_at, c.updated_at
FROM campaign c
LEFT JOIN publication p ON p.id = c.publication_id AND p.brand_id = c.brand_id
WHERE c.id = :id AND c.brand_id = :brand_id

-- name: campaigns_by_id
SELECT c.id, c.name, c.consent_basis, c.kind, c.mode, c.lane, c.routes::text AS routes, c.policy::text AS policy,
    c.experiment::text AS experiment, c.steps::text AS steps,
    c.publication_id, p.created_at AS published_at, p.content ->> 'made_from' AS made_from, c.created_at, c.updated_at
FROM campaign c
LEFT JOIN publication p ON p.id = c.publication_id AND p.brand_id = c.brand_id
WHERE c.id = ANY(:ids::uuid[]) AND c.brand_id = :brand_id

-- name: page_of_campaigns
SELECT c.id, c.name, c.consent_basis, c.kind, c.mode, c.lane, c.routes::text AS routes, c.policy::text AS policy,
    c.experiment::text AS experiment, c.steps::text AS steps,
    c.publication_id, p.created_at AS published_at, p.content ->> 'made_from' AS made_from, c.created_at, c.updated_at
FROM campaign c
LEFT JOIN publication p ON p.id = c.publication_id AND p.brand_id = c.brand_id
WHERE c.brand_id = :brand_id AND (:after::uuid IS NULL OR c.id > :after::uuid)
ORDER BY c.id
LIMIT :limit

-- name: lock_campaign
-- Against a generator that is being pointed at the campaign while it is deleted.
SELECT true FROM campaign WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: share_campaign
-- For a generator that names the campaign, or a publication that freezes it.
SELECT true FROM campaign WHERE id = :id AND brand_id = :brand_id FOR SHARE

-- name: update_campaign
UPDATE campaign
SET name = :name, consent_basis = :consent_basis, kind = :kind, mode = :mode, lane = :lane, routes = :routes,
    policy = :policy, experiment = :experiment, steps = :steps, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: delete_campaign
DELETE FROM campaign WHERE id = :id AND brand_id = :brand_id

-- name: generators_of_campaign
SELECT id FROM event_generator WHERE campaign_id = :campaign_id AND brand_id = :brand_id ORDER BY id LIMIT :limit

-- name: was_published
SELECT EXISTS (SELECT FROM publication WHERE campaign_id = :campaign_id AND brand_id = :brand_id)

-- name: conditions_naming_campaign
-- At whatever depth of their expressions.
SELECT v.told
FROM (
    SELECT format('the segment %L', name) AS told
    FROM segment
    WHERE brand_id = :brand_id
        AND jsonb_path_exists(expression, '$.**.campaign_id ? (@ == $id)', jsonb_build_object('id', (:campaign_id)::uuid::text))
    UNION ALL
    SELECT format('the campaign %L', name)
    FROM campaign
    WHERE brand_id = :brand_id AND id <> :campaign_id
        AND jsonb_path_exists(jsonb_build_array(routes, steps), '$.**.campaign_id ? (@ == $id)', jsonb_build_object('id', (:campaign_id)::uuid::text))
) v
ORDER BY v.told
LIMIT :limit

-- name: publish_campaign
UPDATE campaign SET publication_id = :publication_id WHERE id = :id AND brand_id = :brand_id

-- name: find_running_campaign
SELECT name, kind, publication_id FROM campaign WHERE id = :id AND brand_id = :brand_id

-- name: count_campaigns
SELECT count(*)::integer FROM campaign WHERE brand_id = :brand_id
