-- Campaigns as they are edited.

-- name: insert_campaign
INSERT INTO campaign (id, brand_id, name, consent_basis, mode, lane, routes, policy, created_at, updated_at)
VALUES (:id, :brand_id, :name, :consent_basis, :mode, :lane, :routes, :policy, :now, :now)
ON CONFLICT (brand_id, name) DO NOTHING

-- name: find_campaign
SELECT id, name, consent_basis, mode, lane, routes::text AS routes, policy::text AS policy, created_at, updated_at
FROM campaign
WHERE id = :id AND brand_id = :brand_id

-- name: campaigns_by_id
SELECT id, name, consent_basis, mode, lane, routes::text AS routes, policy::text AS policy, created_at, updated_at
FROM campaign
WHERE id = ANY(:ids::uuid[]) AND brand_id = :brand_id

-- name: page_of_campaigns
SELECT id, name, consent_basis, mode, lane, routes::text AS routes, policy::text AS policy, created_at, updated_at
FROM campaign
WHERE brand_id = :brand_id AND (:after::uuid IS NULL OR id > :after::uuid)
ORDER BY id
LIMIT :limit

-- name: lock_campaign
-- Against a generator that is being pointed at the campaign while it is deleted.
SELECT true FROM campaign WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: share_campaign
-- For a generator that names the campaign, or a publication that freezes it.
SELECT true FROM campaign WHERE id = :id AND brand_id = :brand_id FOR SHARE

-- name: update_campaign
UPDATE campaign
SET name = :name, consent_basis = :consent_basis, mode = :mode, lane = :lane, routes = :routes,
    policy = :policy, updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: delete_campaign
DELETE FROM campaign WHERE id = :id AND brand_id = :brand_id

-- name: generators_of_campaign
SELECT id FROM event_generator WHERE campaign_id = :campaign_id AND brand_id = :brand_id ORDER BY id LIMIT :limit

-- name: was_published
SELECT EXISTS (SELECT FROM publication WHERE campaign_id = :campaign_id AND brand_id = :brand_id)
