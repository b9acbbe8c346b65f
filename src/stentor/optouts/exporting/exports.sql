-- What an export reads of the catalogue, and the entries that lie in the database; all of it at one moment.

-- name: stores
-- Where the entries of a list lie: in itself, in the enabled members of a group, or in what it links to and was granted. A list
-- that is disabled can be exported all the same.
SELECT s.id, s.brand_id, s.hash, CASE WHEN s.expiry_days IS NOT NULL THEN :now - make_interval(days => s.expiry_days) END
FROM optout_list l
CROSS JOIN LATERAL (
    SELECT l.id, 0::bigint WHERE l.kind NOT IN ('grouped', 'linked')
    UNION ALL
    SELECT g.id, g.place FROM unnest(l.members) WITH ORDINALITY AS g (id, place) WHERE l.kind = 'grouped'
    UNION ALL
    SELECT l.linked_id, 0 WHERE l.kind = 'linked'
) m (id, place)
JOIN optout_list n ON n.id = m.id AND (n.id = l.id OR n.state = 'enabled')
JOIN optout_list s ON s.id = coalesce(n.linked_id, n.id) AND (s.id = l.id OR s.state = 'enabled')
WHERE l.id = :list_id AND l.brand_id = :brand_id AND l.state <> 'deleted'
    AND (s.brand_id = l.brand_id
         OR EXISTS (SELECT FROM optout_grant g WHERE g.list_id = s.id AND g.grantee_id = l.brand_id))
ORDER BY m.place, s.id

-- name: segments
SELECT id, entries, cleared
FROM optout_segment
WHERE list_id = :list_id AND brand_id = :brand_id AND replaced_at IS NULL
ORDER BY generation, id

-- name: runs
SELECT id FROM optout_run WHERE list_id = :list_id AND brand_id = :brand_id AND replaced_at IS NULL ORDER BY id

-- name: removals
SELECT digest, generation
FROM optout_removed
WHERE list_id = :list_id AND brand_id = :brand_id
ORDER BY digest

-- name: erasures
SELECT digest
FROM optout_erasure
WHERE list_id = :list_id AND brand_id = :brand_id
ORDER BY digest

-- name: recents
SELECT digest, address, hash, cause NOT IN ('import', 'api'), at, campaign, affiliate, sub_affiliate, ip
FROM optout_recent
WHERE list_id = :list_id AND brand_id = :brand_id
ORDER BY digest
