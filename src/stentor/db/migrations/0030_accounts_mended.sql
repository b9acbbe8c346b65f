-- Who proved an address, who invited whom, where a second factor was begun, and one identity of a provider for a user.

ALTER TABLE account_user ADD COLUMN proven_at timestamptz;
COMMENT ON TABLE account_user IS 'kind: reference. Somebody who signs in. password is an argon2id hash of the password keyed with the installation''s secret; null for who never set one. proven_at: since when the address is known to be theirs; null while nobody proved it.';

ALTER TABLE sign_in_link ADD COLUMN is_mailed boolean NOT NULL DEFAULT false;
COMMENT ON TABLE sign_in_link IS 'kind: local. A signed link by which a user sets a password once, and signs in. One that was mailed and shown to nobody proves, when it is used, whose the address is.';

ALTER TABLE second_factor ADD COLUMN begun_in uuid;
COMMENT ON TABLE second_factor IS 'kind: local. The secret of a user''s authenticator app, sealed; asked for once it is confirmed, in the session begun_in alone. last_step is the newest time step whose code was used; recovery holds keyed hashes of codes that are used once.';

ALTER TABLE invitation ADD COLUMN invited_by_kind text;
ALTER TABLE invitation ADD COLUMN invited_by_id text;

-- Of two by which one provider knew one user, the first one stays.
DELETE FROM oidc_identity i
USING oidc_identity f
WHERE f.user_id = i.user_id AND f.issuer = i.issuer AND (f.created_at, f.subject) < (i.created_at, i.subject);
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX oidc_identity_by_issuer_and_user ON oidc_identity (user_id, issuer);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX oidc_identity_by_user;
