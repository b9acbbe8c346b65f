-- What is still to go by a tag or a segment: to be told before it is deleted.

-- name: uses_of_audience
-- Schedules that will start something for it, and executions whose people are not taken yet.
SELECT 'schedule' AS kind, s.id, s.name
FROM schedule s
WHERE s.brand_id = :brand_id AND s.enabled AND s.next_at IS NOT NULL AND s.audience @> :audience
UNION ALL
SELECT 'execution', e.id, coalesce(c.name, '')
FROM execution e
LEFT JOIN campaign c ON c.id = e.campaign_id AND c.brand_id = e.brand_id
WHERE e.brand_id = :brand_id AND e.state IN ('scheduled', 'queued') AND e.audience @> :audience
ORDER BY 1 DESC, 2
LIMIT :limit

-- name: segments_by_tag
-- At whatever depth of their expressions.
SELECT 'segment' AS kind, id, name
FROM segment
WHERE brand_id = :brand_id
    AND jsonb_path_exists(expression, '$.**.tag_id ? (@ == $id)', jsonb_build_object('id', (:tag_id)::uuid::text))
ORDER BY id
LIMIT :limit

-- name: campaigns_by_tag
-- Campaigns whose routes have a condition on it: as they are edited, as they or their generators run, or as something runs them
-- whose people are not taken yet.
SELECT 'campaign' AS kind, c.id, c.name
FROM campaign c
WHERE c.brand_id = :brand_id AND (
    jsonb_path_exists(c.routes, '$.**.tag_id ? (@ == $id)', jsonb_build_object('id', (:tag_id)::uuid::text))
    OR EXISTS (
        SELECT FROM publication p
        WHERE p.campaign_id = c.id AND p.brand_id = :brand_id AND (
            p.id = c.publication_id
            OR EXISTS (SELECT FROM event_generator g WHERE g.publication_id = p.id AND g.brand_id = :brand_id)
            OR EXISTS (
                SELECT FROM execution e
                WHERE e.publication_id = p.id AND e.brand_id = :brand_id AND e.state IN ('scheduled', 'queued')
            )
        ) AND jsonb_path_exists(p.content -> 'routes', '$.**.tag_id ? (@ == $id)', jsonb_build_object('id', (:tag_id)::uuid::text))
    )
)
ORDER BY c.id
LIMIT :limit
