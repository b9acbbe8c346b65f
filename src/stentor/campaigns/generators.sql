-- Event generators and the publications that they run.

-- name: insert_generator
-- Does nothing when the id is taken, which the caller sees by the count.
INSERT INTO event_generator (brand_id, id, name, type, campaign_id, context_schema, deduplication, created_at, updated_at)
VALUES (:brand_id, :id, :name, :type, :campaign_id, :context_schema, :deduplication, :now, :now)
ON CONFLICT (brand_id, id) DO NOTHING

-- name: find_generator
SELECT g.id, g.name, g.type, g.campaign_id, g.context_schema, g.deduplication, g.publication_id,
    p.created_at AS published_at, p.content ->> 'made_from' AS made_from, g.created_at, g.updated_at
FROM event_generator g
LEFT JOIN publication p ON p.id = g.publication_id AND p.brand_id = g.brand_id
WHERE g.id = :id AND g.brand_id = :brand_id

-- name: page_of_generators
SELECT g.id, g.name, g.type, g.campaign_id, g.context_schema, g.deduplication, g.publication_id,
    p.created_at AS published_at, p.content ->> 'made_from' AS made_from, g.created_at, g.updated_at
FROM event_generator g
LEFT JOIN publication p ON p.id = g.publication_id AND p.brand_id = g.brand_id
WHERE g.brand_id = :brand_id AND (:after::text IS NULL OR g.id > :after::text)
ORDER BY g.id
LIMIT :limit

-- name: lock_generator
SELECT true FROM event_generator WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: update_generator
UPDATE event_generator
SET name = :name, campaign_id = :campaign_id, context_schema = :context_schema, deduplication = :deduplication,
    updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: publish_generator
UPDATE event_generator SET publication_id = :publication_id WHERE id = :id AND brand_id = :brand_id

-- name: delete_generator
DELETE FROM event_generator WHERE id = :id AND brand_id = :brand_id

-- name: insert_publication
INSERT INTO publication (id, brand_id, campaign_id, content, is_test_send, created_at)
VALUES (:id, :brand_id, :campaign_id, :content, :is_test_send, :now)

-- name: find_publication
SELECT content::text FROM publication WHERE id = :id AND brand_id = :brand_id

-- name: find_running
SELECT type, publication_id FROM event_generator WHERE id = :id AND brand_id = :brand_id

-- name: count_generators
SELECT count(*)::integer FROM event_generator WHERE brand_id = :brand_id
