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
-- whose people are not taken yet, or wait for a step.
SELECT 'campaign' AS kind, c.id, c.name
FROM campaign c
WHERE c.brand_id = :brand_id AND (
    jsonb_path_exists(jsonb_build_array(c.routes, c.steps), '$.**.tag_id ? (@ == $id)', jsonb_build_object('id', (:tag_id)::uuid::text))
    OR EXISTS (
        SELECT FROM publication r
        JOIN publication p ON p.campaign_id = c.id AND p.brand_id = :brand_id
            AND (p.id = r.id OR r.content -> 'steps' @> jsonb_build_array(jsonb_build_object('publication_id', p.id::text)))
        WHERE r.campaign_id = c.id AND r.brand_id = :brand_id AND (
            r.id = c.publication_id
            OR EXISTS (SELECT FROM event_generator g WHERE g.publication_id = r.id AND g.brand_id = :brand_id)
            OR EXISTS (
                SELECT FROM execution e
                LEFT JOIN stepping w ON w.execution_id = e.id AND w.brand_id = :brand_id
                WHERE e.publication_id = r.id AND e.brand_id = :brand_id
                    AND (e.state IN ('scheduled', 'queued') OR w.execution_id IS NOT NULL AND w.ended_at IS NULL)
            )
        ) AND jsonb_path_exists(p.content -> 'routes', '$.**.tag_id ? (@ == $id)', jsonb_build_object('id', (:tag_id)::uuid::text))
    )
)
ORDER BY c.id
LIMIT :limit
