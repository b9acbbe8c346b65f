-- name: note_installation
-- Where there is one nothing is inserted, and so nobody who starts waits for a transaction that changes it.
INSERT INTO installation (secret_fingerprint, created_at)
SELECT :fingerprint, :now
WHERE NOT EXISTS (SELECT FROM installation)
ON CONFLICT (only_row) DO NOTHING

-- name: installation_fingerprint
SELECT secret_fingerprint FROM installation

-- name: find_installation
SELECT created_at, backup_at, restored_at, paused_at, fenced_at, resumed_at FROM installation

-- name: lock_organisations
-- Of two processes that start at once on a new database, one makes the first organisation and the other finds it. It is
-- the lock that makes them take turns, and whoever gives an organisation a name; nothing else ever waits for it.
SELECT pg_advisory_xact_lock(hashtext('stentor.organisation'))

-- name: insert_organisation
INSERT INTO organisation (id, name, created_at) VALUES (:id, :name, :now)

-- name: rename_organisation
UPDATE organisation SET name = :name WHERE id = :id

-- name: organisations
SELECT id, number, name, created_at FROM organisation ORDER BY number

-- name: first_organisation
SELECT id, number, name, created_at FROM organisation ORDER BY number LIMIT 1

-- name: find_organisation
SELECT id, number, name, created_at FROM organisation WHERE id = :id

-- name: insert_brand
INSERT INTO brand (id, organisation_id, name, brand_key, settings, created_at, updated_at)
VALUES (:brand_id, :organisation_id, :name, :brand_key, :settings, :now, :now)
ON CONFLICT (organisation_id, name) DO NOTHING

-- name: find_brand
SELECT b.id, b.organisation_id, o.number, b.name, b.brand_key, b.settings::text, b.created_at, b.updated_at
FROM brand b
JOIN organisation o ON o.id = b.organisation_id
WHERE b.id = :brand_id

-- name: find_brand_by_key
-- all brands: the key is what says which brand is meant.
SELECT b.id, b.organisation_id, o.number, b.name, b.brand_key, b.settings::text, b.created_at, b.updated_at
FROM brand b
JOIN organisation o ON o.id = b.organisation_id
WHERE b.brand_key = :brand_key

-- name: brands
-- all brands: a list of them.
SELECT b.id, b.organisation_id, o.number, b.name, b.brand_key, b.settings::text, b.created_at, b.updated_at
FROM brand b
JOIN organisation o ON o.id = b.organisation_id
ORDER BY b.id

-- name: brands_of
-- all brands: those of an organisation.
SELECT b.id, b.organisation_id, o.number, b.name, b.brand_key, b.settings::text, b.created_at, b.updated_at
FROM brand b
JOIN organisation o ON o.id = b.organisation_id
WHERE b.organisation_id = :organisation_id
ORDER BY b.id

-- name: rename_brand
UPDATE brand SET name = :name, updated_at = :now WHERE id = :brand_id

-- name: lock_brand
SELECT settings::text FROM brand WHERE id = :brand_id FOR UPDATE

-- name: update_settings
UPDATE brand SET settings = :settings, updated_at = :now WHERE id = :brand_id

-- name: note_policy
-- What the brand's guard goes by from now on, where that is another than before. In the transaction that writes the settings.
INSERT INTO brand_policy_version (brand_id, version, policy, since)
SELECT b.id, coalesce(l.version, 0) + 1, policy_in(b.settings), :now
FROM brand b
LEFT JOIN LATERAL (
    SELECT v.version, v.policy FROM brand_policy_version v WHERE v.brand_id = b.id ORDER BY v.version DESC LIMIT 1
) l ON true
WHERE b.id = :brand_id AND policy_in(b.settings) IS DISTINCT FROM l.policy

-- name: policies_between
-- What held at any moment between the two; before the first version, that one.
SELECT v.version, v.policy::text, v.since
FROM brand_policy_version v
WHERE v.brand_id = :brand_id AND v.since <= greatest(:until::timestamptz, (SELECT min(f.since) FROM brand_policy_version f WHERE f.brand_id = :brand_id))
    AND v.version >= coalesce(
        (SELECT max(l.version) FROM brand_policy_version l WHERE l.brand_id = :brand_id AND l.since <= :since::timestamptz), 1
    )
ORDER BY v.version

-- name: page_of_policies
SELECT version, policy::text, since
FROM brand_policy_version
WHERE brand_id = :brand_id
ORDER BY version DESC
LIMIT :limit

-- name: insert_key
INSERT INTO api_key (
    organisation_id, brand_id, name, digest, hint, scopes, is_test, created_at, expires_at, made_by_kind, made_by_id, made_by, holder
)
VALUES (
    :organisation_id, :brand_id, :name, :digest, :hint, :scopes, :is_test, :now, :expires_at, :made_by_kind, :made_by_id, :made_by, :holder
)
RETURNING number

-- name: holder_of_key
-- all brands: keys of the whole organisation have none.
-- While it lives, and so that nobody revokes it until the transaction ends.
SELECT coalesce(holder, 'key ' || number)
FROM api_key
WHERE number = :number AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
FOR SHARE

-- name: find_principal
-- all brands: the key is what says who calls, and for which brand.
-- None in a restored copy that does not know which keys were revoked since.
SELECT number, organisation_id, brand_id, scopes, is_test, name, coalesce(holder, 'key ' || number)
FROM api_key
WHERE digest = :digest AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
    AND NOT EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL AND revocations_read_at IS NULL)

-- name: keys_of_organisation
-- all brands: the keys of an organisation, those of its brands and its own.
SELECT k.number, k.organisation_id, k.brand_id, k.name, k.hint, k.scopes, k.is_test, k.created_at,
    k.expires_at, k.revoked_at, u.last_used_at, coalesce(k.made_by, '') AS made_by
FROM api_key k
LEFT JOIN api_key_use u ON u.key_number = k.number
WHERE k.organisation_id = :organisation_id AND k.number > coalesce(:after::bigint, 0)
    AND (:state = 'all' OR (:state = 'live') = (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now)))
ORDER BY k.number
LIMIT :limit

-- name: keys_of_brand
SELECT k.number, k.organisation_id, k.brand_id, k.name, k.hint, k.scopes, k.is_test, k.created_at,
    k.expires_at, k.revoked_at, u.last_used_at, coalesce(k.made_by, '') AS made_by
FROM api_key k
LEFT JOIN api_key_use u ON u.key_number = k.number
WHERE k.brand_id = :brand_id AND k.number > coalesce(:after::bigint, 0)
    AND (:state = 'all' OR (:state = 'live') = (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now)))
ORDER BY k.number
LIMIT :limit

-- name: lock_key
-- all brands: keys of the whole organisation have none.
SELECT number, organisation_id, brand_id, name, hint, scopes, is_test, revoked_at
FROM api_key
WHERE number = :number AND organisation_id = :organisation_id AND (:brand_id::uuid IS NULL OR brand_id = :brand_id)
FOR UPDATE

-- name: lock_keys_of_user
-- all brands: whatever somebody made goes by what they may do in each of them.
-- Those that live, made by keys of theirs too; in the order in which others lock them.
SELECT number, organisation_id, brand_id, name, hint, scopes, is_test, revoked_at
FROM api_key
WHERE holder = :holder AND (:organisation_id::uuid IS NULL OR organisation_id = :organisation_id)
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
ORDER BY number
FOR UPDATE

-- name: revoke_key
-- all brands: keys of the whole organisation have none.
UPDATE api_key SET revoked_at = :now WHERE number = :number AND revoked_at IS NULL

-- name: note_key_use
-- all brands: the numbers are those of keys that this process saw.
-- In the order of their numbers, so that two processes never wait for each other crosswise.
INSERT INTO api_key_use (key_number, last_used_at)
SELECT u.number, date_trunc('minute', :now)
FROM unnest(:numbers::bigint[]) AS u (number)
ORDER BY u.number
ON CONFLICT (key_number) DO UPDATE SET last_used_at = excluded.last_used_at
WHERE api_key_use.last_used_at < excluded.last_used_at

-- name: count_keys
SELECT count(*)::integer
FROM api_key
WHERE brand_id = :brand_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)

-- name: count_organisation_keys
-- all brands: the keys that are of none.
SELECT count(*)::integer
FROM api_key
WHERE organisation_id = :organisation_id AND brand_id IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
