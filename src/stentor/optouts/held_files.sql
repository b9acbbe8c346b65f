-- name: removals
-- A list may be another brand's, who lets this one read it: the brand is that of the list.
SELECT digest, generation
FROM optout_removed
WHERE list_id = :list_id AND brand_id = :brand_id AND digest > :after
ORDER BY digest
LIMIT :limit

-- name: recents
SELECT digest
FROM optout_recent
WHERE list_id = :list_id AND brand_id = :brand_id AND digest > :after
    AND (:expiry_days::integer IS NULL OR at > :now - make_interval(days => :expiry_days))
ORDER BY digest
LIMIT :limit
