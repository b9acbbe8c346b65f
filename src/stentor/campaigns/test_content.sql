-- name: same_content
-- Of the last day, so that what uses a test send's content is known by when that was made.
SELECT id
FROM publication
WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND is_test_send AND created_at > :now - interval '1 day'
    AND content ->> 'made_from' = :made_from
ORDER BY created_at DESC
LIMIT 1

-- name: forget_contents
-- all brands: the keeper's sweep over what test sends were made of, once no execution is left that was one.
-- All that uses such a content was made within a day of it, and an execution's id tells when it was.
DELETE FROM publication p
WHERE p.id IN (
    SELECT o.id
    FROM publication o
    WHERE o.is_test_send AND o.created_at < :now - make_interval(days => :days)
        AND NOT EXISTS (
            SELECT FROM execution e
            WHERE e.publication_id = o.id AND e.id >= uuid_floor(o.created_at - interval '1 hour')
                AND e.id < uuid_floor(o.created_at + interval '2 days')
        )
    ORDER BY o.created_at
    LIMIT :limit
)
