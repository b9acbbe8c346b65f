-- Lists as their owners see them. Which of them are asked for a message is the view optout_asked.

-- name: insert_list
-- Does nothing when the name is taken, which the caller sees by the count.
INSERT INTO optout_list (id, brand_id, name, kind, hash, channels, state, scope, scope_ids, members, linked_id, expiry_days,
    created_at, updated_at)
VALUES (:id, :brand_id, :name, :kind, :hash, :channels, :state, :scope, :scope_ids, :members, :linked_id, :expiry_days, :now,
    :now)
ON CONFLICT (brand_id, name) WHERE state <> 'deleted' DO NOTHING

-- name: find_lists
-- By ids, codes or names; a deleted list is none.
SELECT l.id, l.brand_id, l.number, l.code, l.name, l.kind, l.hash, l.channels, l.state, l.scope, l.scope_ids, l.members,
    l.linked_id, l.expiry_days, l.generation, l.built_in, l.created_at, coalesce(l.updated_at, l.created_at) AS updated_at,
    coalesce(s.code, '') AS linked_code,
    s.state IS NOT DISTINCT FROM 'enabled'
        AND EXISTS (SELECT FROM optout_grant g WHERE g.list_id = s.id AND g.grantee_id = l.brand_id) AS is_link_open,
    (SELECT coalesce(sum(r.entries), 0) FROM optout_run r
        WHERE r.list_id = l.id AND r.brand_id = l.brand_id AND r.replaced_at IS NULL)::bigint AS entries_in_files
FROM optout_list l
LEFT JOIN optout_list s ON s.id = l.linked_id
WHERE l.brand_id = :brand_id AND l.state <> 'deleted'
    AND (l.id = ANY(:ids::uuid[]) OR l.code = ANY(:codes::text[]) OR l.name = ANY(:names::text[]))

-- name: find_open
-- all brands: a link names a list by its code and no brand; the brand is the list's.
SELECT brand_id, id
FROM optout_list
WHERE code = :code AND state = 'enabled' AND kind NOT IN ('grouped', 'linked')

-- name: page_of_lists
SELECT l.id, l.brand_id, l.number, l.code, l.name, l.kind, l.hash, l.channels, l.state, l.scope, l.scope_ids, l.members,
    l.linked_id, l.expiry_days, l.generation, l.built_in, l.created_at, coalesce(l.updated_at, l.created_at) AS updated_at,
    coalesce(s.code, '') AS linked_code,
    s.state IS NOT DISTINCT FROM 'enabled'
        AND EXISTS (SELECT FROM optout_grant g WHERE g.list_id = s.id AND g.grantee_id = l.brand_id) AS is_link_open,
    (SELECT coalesce(sum(r.entries), 0) FROM optout_run r
        WHERE r.list_id = l.id AND r.brand_id = l.brand_id AND r.replaced_at IS NULL)::bigint AS entries_in_files
FROM optout_list l
LEFT JOIN optout_list s ON s.id = l.linked_id
WHERE l.brand_id = :brand_id AND l.state <> 'deleted' AND (:after::uuid IS NULL OR l.id > :after)
ORDER BY l.id
LIMIT :limit

-- name: lock_list
-- False when it is there no more.
SELECT true FROM optout_list WHERE id = :id AND brand_id = :brand_id AND state <> 'deleted' FOR UPDATE

-- name: hold_lists
-- That nobody deletes them before they are members.
SELECT id FROM optout_list WHERE id = ANY(:ids::uuid[]) AND brand_id = :brand_id AND state <> 'deleted' ORDER BY id FOR SHARE

-- name: update_list
UPDATE optout_list
SET name = :name, state = :state, scope = :scope, scope_ids = :scope_ids, members = :members, expiry_days = :expiry_days,
    updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: delete_list
-- Its row stays, because traces name it by its number.
UPDATE optout_list SET state = 'deleted', updated_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: count_lists
SELECT count(*)::integer FROM optout_list WHERE brand_id = :brand_id AND state <> 'deleted' AND NOT built_in

-- name: groups_with
SELECT name
FROM optout_list
WHERE brand_id = :brand_id AND kind = 'grouped' AND state <> 'deleted' AND :id = ANY(members)
ORDER BY name
LIMIT :limit

-- name: insert_grant
-- Whether there is such a brand is not asked: nobody shall learn it here.
INSERT INTO optout_grant (list_id, grantee_id, brand_id, granted_at, granted_by)
SELECT l.id, :grantee_id, l.brand_id, :now, :granted_by
FROM optout_list l
WHERE l.id = :list_id AND l.brand_id = :brand_id
ON CONFLICT (list_id, grantee_id) DO NOTHING

-- name: delete_grant
DELETE FROM optout_grant WHERE list_id = :list_id AND grantee_id = :grantee_id AND brand_id = :brand_id

-- name: count_grants
SELECT count(*)::integer FROM optout_grant WHERE list_id = :list_id AND brand_id = :brand_id

-- name: page_of_grants
SELECT grantee_id, granted_at, granted_by
FROM optout_grant
WHERE list_id = :list_id AND brand_id = :brand_id AND (:after::uuid IS NULL OR grantee_id > :after)
ORDER BY grantee_id
LIMIT :limit

-- name: find_granted
-- Another brand's list that this brand may link to, by its id or code.
SELECT l.id, l.brand_id, l.code, l.name, l.kind, l.hash, l.channels
FROM brand b
JOIN optout_grant g ON g.grantee_id = b.id
JOIN optout_list l ON l.id = g.list_id
WHERE b.id = :brand_id AND l.state <> 'deleted' AND (l.id = ANY(:ids::uuid[]) OR l.code = ANY(:codes::text[]))

-- name: page_of_granted
SELECT l.id, l.brand_id, l.code, l.name, l.kind, l.hash, l.channels
FROM brand b
JOIN optout_grant g ON g.grantee_id = b.id
JOIN optout_list l ON l.id = g.list_id
WHERE b.id = :brand_id AND l.state <> 'deleted' AND (:after::uuid IS NULL OR l.id > :after)
ORDER BY l.id
LIMIT :limit
