-- What a brand can be called with.


-- name: callable_generators
-- With the schema that calls are checked against: the published one where there is one.
SELECT g.id, g.name, g.type, c.name AS campaign, p.created_at AS published_at,
    CASE WHEN p.id IS NULL THEN g.context_schema ELSE nullif(p.content -> 'context_schema', 'null'::jsonb) END AS context_schema
FROM event_generator g
LEFT JOIN campaign c ON c.id = g.campaign_id AND c.brand_id = g.brand_id
LEFT JOIN publication p ON p.id = g.publication_id AND p.brand_id = g.brand_id
WHERE g.brand_id = :brand_id
ORDER BY g.id
LIMIT :limit
