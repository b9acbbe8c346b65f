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
    AND (:expiry_days::integer IS NULL OR at > :asked_at::timestamptz - make_interval(days => :expiry_days))
ORDER BY digest
LIMIT :limit

-- name: behind
-- Where entries of these lists lie, also where nobody may ask by now: in members that are disabled, behind links without a grant.
SELECT l.id, coalesce(n.linked_id, n.id), coalesce(n.name, l.name)
FROM optout_list l
LEFT JOIN LATERAL (
    SELECT l.id WHERE l.kind <> 'grouped'
    UNION ALL
    SELECT unnest(l.members) WHERE l.kind = 'grouped'
) m (id) ON true
LEFT JOIN optout_list n ON n.id = m.id AND n.brand_id = l.brand_id
WHERE l.brand_id = :brand_id AND l.id = ANY(:list_ids::uuid[]) AND (n.id IS NULL OR n.channels & l.channels <> 0)
