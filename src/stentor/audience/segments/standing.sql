-- What has to be known before an expression is compiled.

-- name: expression_of
SELECT expression::text FROM segment WHERE id = :id AND brand_id = :brand_id

-- name: executions_of
-- Ids are in the order of time, so that a period back is a range of them. What a test run sent went to the sandbox, and a test
-- send to whoever made it: neither was a message to anybody.
SELECT a.campaign_id, r.id
FROM unnest(:campaign_ids::uuid[], :days::double precision[]) AS a (campaign_id, days)
CROSS JOIN LATERAL (
    SELECT e.id
    FROM execution e
    JOIN publication p ON p.id = e.publication_id
    WHERE p.campaign_id = a.campaign_id AND p.brand_id = :brand_id AND e.brand_id = :brand_id
        AND NOT e.is_test AND NOT p.is_test_send
        AND (a.days IS NULL OR e.id >= uuid_floor(:now - make_interval(secs => a.days * 86400)))
    ORDER BY e.id DESC
    LIMIT :limit
) r
