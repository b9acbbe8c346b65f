-- name: insert_user
INSERT INTO account_user (id, email, email_key, name, password, created_at, updated_at, proven_at)
VALUES (:id, :email, :email_key, :name, :password, :now, :now, CASE WHEN :is_proven THEN :now END)
ON CONFLICT (email_key) DO NOTHING

-- name: find_user
SELECT id, email, name, password IS NOT NULL AS has_password, created_at, disabled_at
FROM account_user
WHERE id = :id

-- name: find_user_by_email
SELECT id, email, name, password IS NOT NULL AS has_password, created_at, disabled_at
FROM account_user
WHERE email_key = :email_key

-- name: stored_password
SELECT id, password FROM account_user WHERE email_key = :email_key AND disabled_at IS NULL

-- name: held_password
-- Held until the transaction ends, so that nobody changes it or disables its user meanwhile; who refers to the user need not wait.
SELECT password FROM account_user WHERE id = :id AND disabled_at IS NULL FOR NO KEY UPDATE

-- name: lock_user
-- Until the transaction ends nobody disables them or changes their password; who refers to them need not wait.
SELECT id, email, name, password IS NOT NULL AS has_password, created_at, disabled_at
FROM account_user
WHERE id = :id
FOR NO KEY UPDATE

-- name: users
SELECT id, email, name, password IS NOT NULL AS has_password, created_at, disabled_at
FROM account_user
ORDER BY email_key
LIMIT :limit

-- name: is_anybody_there
SELECT EXISTS (SELECT FROM account_user)

-- name: set_password
UPDATE account_user SET password = :password, updated_at = :now WHERE id = :id

-- name: set_proven
UPDATE account_user SET proven_at = :now, updated_at = :now WHERE id = :id AND proven_at IS NULL

-- name: set_disabled
UPDATE account_user
SET disabled_at = CASE WHEN :disabled THEN :now END, updated_at = :now
WHERE id = :id AND (disabled_at IS NOT NULL) <> :disabled

-- name: memberships_of_user
-- all brands: what somebody may do in each of them.
SELECT organisation_id, brand_id, role FROM membership WHERE user_id = :user_id ORDER BY organisation_id, brand_id NULLS FIRST

-- name: memberships_of_organisation
-- all brands: the people of an organisation, with their roles in its brands.
SELECT u.id, u.email, u.name, u.password IS NOT NULL, u.created_at, u.disabled_at, m.brand_id, m.role,
    EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL)
FROM membership m
JOIN account_user u ON u.id = m.user_id
WHERE m.organisation_id = :organisation_id
ORDER BY u.email_key, u.id, m.brand_id NULLS FIRST

-- name: put_membership
INSERT INTO membership (id, user_id, organisation_id, brand_id, role, created_at)
VALUES (:id, :user_id, :organisation_id, :brand_id, :role, :now)
ON CONFLICT (user_id, organisation_id, brand_id) DO UPDATE SET role = excluded.role

-- name: delete_membership
-- all brands: the role in the organisation as a whole has none.
DELETE FROM membership
WHERE user_id = :user_id AND organisation_id = :organisation_id AND brand_id IS NOT DISTINCT FROM :brand_id::uuid

-- name: delete_memberships
-- all brands: somebody leaves the organisation with all its brands.
DELETE FROM membership WHERE user_id = :user_id AND organisation_id = :organisation_id

-- name: lock_organisation
-- Two who take each other's role away take turns, so that one owner stays.
SELECT id FROM organisation WHERE id = :id FOR NO KEY UPDATE

-- name: count_members
-- all brands: the people of an organisation and of its brands.
SELECT count(DISTINCT user_id) FROM membership WHERE organisation_id = :organisation_id

-- name: count_owners
-- all brands: owners own all of them.
SELECT count(*)
FROM membership m
JOIN account_user u ON u.id = m.user_id
WHERE m.organisation_id = :organisation_id AND m.role = 'owner' AND u.disabled_at IS NULL

-- name: brand_is_of
SELECT EXISTS (SELECT FROM brand WHERE id = :brand_id AND organisation_id = :organisation_id)

-- name: insert_invitation
INSERT INTO invitation (id, organisation_id, brand_id, email, email_key, role, invited_by_kind, invited_by_id, invited_by,
    created_at, expires_at)
VALUES (:id, :organisation_id, :brand_id, :email, :email_key, :role, :invited_by_kind, :invited_by_id, :invited_by,
    :now, :now + make_interval(secs => :lasts_s))

-- name: invited_lately
-- all brands: what an organisation sent within a day, whatever became of it; null while there is room for another one, or
-- else when there is.
SELECT created_at + interval '1 day' - :now
FROM invitation
WHERE organisation_id = :organisation_id AND created_at > :now - interval '1 day'
ORDER BY created_at DESC
OFFSET :at_most - 1
LIMIT 1

-- name: find_invitation
-- all brands: its link says which it is.
-- None in a restored copy that is not fenced yet: it does not know which were withdrawn since.
SELECT id, organisation_id, brand_id, email, role, invited_by, created_at, expires_at
FROM invitation
WHERE id = :id AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
    AND NOT EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL AND fenced_at IS NULL)

-- name: open_invitations
-- all brands: those of an organisation.
SELECT id, organisation_id, brand_id, email, role, invited_by, created_at, expires_at
FROM invitation
WHERE organisation_id = :organisation_id AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
ORDER BY created_at, id

-- name: invitations_to
-- all brands: whatever somebody was invited to.
-- None in a restored copy that is not fenced yet.
SELECT id, organisation_id, brand_id, email, role, invited_by, created_at, expires_at
FROM invitation
WHERE email_key = :email_key AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
    AND NOT EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL AND fenced_at IS NULL)
-- In the order in which their organisations are locked.
ORDER BY organisation_id, created_at, id

-- name: accept_invitation
-- all brands: its link says which it is.
-- None in a restored copy that is not fenced yet.
UPDATE invitation SET accepted_at = :now
WHERE id = :id AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
    AND NOT EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL AND fenced_at IS NULL)

-- name: withdraw_invitation
-- all brands: an invitation to the whole organisation has none.
UPDATE invitation SET withdrawn_at = :now
WHERE id = :id AND organisation_id = :organisation_id AND accepted_at IS NULL AND withdrawn_at IS NULL

-- name: withdraw_earlier
-- all brands: an invitation to the whole organisation has none.
UPDATE invitation SET withdrawn_at = :now
WHERE organisation_id = :organisation_id AND brand_id IS NOT DISTINCT FROM :brand_id::uuid AND email_key = :email_key
    AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
RETURNING id, organisation_id, brand_id, email, role

-- name: withdraw_to
-- all brands: whatever somebody was invited to, in one organisation or in all of them.
UPDATE invitation SET withdrawn_at = :now
WHERE email_key = :email_key AND (:organisation_id::uuid IS NULL OR organisation_id = :organisation_id)
    AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
RETURNING id, organisation_id, brand_id, email, role

-- name: withdraw_by
-- all brands: whatever somebody invited others to who may give fewer roles now.
UPDATE invitation SET withdrawn_at = :now
WHERE organisation_id = :organisation_id AND invited_by_kind = :kind AND invited_by_id = :id AND NOT role = ANY (:grantable::text[])
    AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > :now
RETURNING id, organisation_id, brand_id, email, role

-- name: forget_invitations
-- all brands: they are old.
DELETE FROM invitation WHERE expires_at < :now - interval '30 days'

-- name: find_identity
SELECT user_id FROM oidc_identity WHERE issuer = :issuer AND subject = :subject

-- name: insert_identity
-- One for each user and provider, whoever is faster.
INSERT INTO oidc_identity (issuer, subject, user_id, created_at) VALUES (:issuer, :subject, :user_id, :now)
ON CONFLICT DO NOTHING

-- name: standing
-- Whether somebody proved the address of that user, and whether the provider knows them already.
SELECT u.proven_at IS NOT NULL, EXISTS (SELECT FROM oidc_identity i WHERE i.user_id = u.id AND i.issuer = :issuer)
FROM account_user u
WHERE u.id = :id

-- name: delete_identities
DELETE FROM oidc_identity WHERE user_id = :user_id
