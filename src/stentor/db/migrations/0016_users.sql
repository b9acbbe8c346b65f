-- Who signs in: users, what each may do where, how they prove who they are, and who made which key.

CREATE TABLE account_user (
    id           uuid PRIMARY KEY,
    email        text NOT NULL CHECK (length(email) BETWEEN 3 AND 320),
    email_key    text NOT NULL UNIQUE CHECK (length(email_key) BETWEEN 3 AND 640),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    password     text CHECK (length(password) <= 500),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    disabled_at  timestamptz
);
COMMENT ON TABLE account_user IS 'kind: reference. Somebody who signs in. password is an argon2id hash of the password keyed with the installation''s secret; null for who never set one.';

CREATE TABLE membership (
    id               uuid PRIMARY KEY,
    user_id          uuid NOT NULL REFERENCES account_user,
    organisation_id  uuid NOT NULL REFERENCES organisation,
    brand_id         uuid REFERENCES brand,
    role             text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'marketer', 'viewer')),
    created_at       timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (user_id, organisation_id, brand_id),
    CHECK (brand_id IS NULL OR role <> 'owner')
);
COMMENT ON TABLE membership IS 'kind: reference. A user''s role in an organisation and all its brands, or, with brand_id, in that brand, where it takes the place of the other.';
CREATE INDEX membership_by_organisation ON membership (organisation_id);

CREATE TABLE oidc_identity (
    issuer      text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 500),
    subject     text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    user_id     uuid NOT NULL REFERENCES account_user,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
COMMENT ON TABLE oidc_identity IS 'kind: reference. Whom an identity provider means by a subject.';
CREATE INDEX oidc_identity_by_user ON oidc_identity (user_id);

CREATE TABLE second_factor (
    user_id       uuid PRIMARY KEY REFERENCES account_user,
    sealed        bytea NOT NULL,
    made_at       timestamptz NOT NULL,
    confirmed_at  timestamptz,
    last_step     bigint NOT NULL,
    recovery      bytea[] NOT NULL
);
COMMENT ON TABLE second_factor IS 'kind: local. The secret of a user''s authenticator app, sealed; asked for once it is confirmed. last_step is the newest time step whose code was used; recovery holds keyed hashes of codes that are used once.';

CREATE TABLE user_session (
    digest      bytea PRIMARY KEY CHECK (length(digest) = 32),
    id          uuid NOT NULL UNIQUE,
    user_id     uuid NOT NULL REFERENCES account_user,
    stage       text NOT NULL CHECK (stage IN ('first_factor', 'whole')),
    method      text NOT NULL CHECK (method IN ('password', 'oidc', 'link')),
    ip          text NOT NULL CHECK (length(ip) <= 64),
    browser     text NOT NULL CHECK (length(browser) <= 300),
    created_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL
);
COMMENT ON TABLE user_session IS 'kind: local. A signed-in browser by the keyed hash of its cookie; a row that is gone is signed out. In the stage first_factor it opens nothing but the question for the second.';
CREATE INDEX user_session_by_user ON user_session (user_id);
CREATE INDEX user_session_by_end ON user_session (ends_at);

CREATE TABLE invitation (
    id               uuid PRIMARY KEY,
    organisation_id  uuid NOT NULL REFERENCES organisation,
    brand_id         uuid REFERENCES brand,
    email            text CHECK (length(email) BETWEEN 3 AND 320),
    email_key        text CHECK (length(email_key) BETWEEN 3 AND 640),
    role             text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'marketer', 'viewer')),
    invited_by       text NOT NULL CHECK (length(invited_by) <= 400),
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    accepted_at      timestamptz,
    withdrawn_at     timestamptz,
    CHECK ((email IS NULL) = (email_key IS NULL)),
    CHECK (brand_id IS NULL OR role <> 'owner')
);
COMMENT ON TABLE invitation IS 'kind: local. A role that waits for somebody to take it by a signed link; without an e-mail address for whoever has the link: the first owner.';
CREATE INDEX invitation_by_organisation ON invitation (organisation_id, created_at);
CREATE INDEX invitation_by_email ON invitation (email_key) WHERE accepted_at IS NULL AND withdrawn_at IS NULL;

CREATE TABLE sign_in_link (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES account_user,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
COMMENT ON TABLE sign_in_link IS 'kind: local. A signed link by which a user sets a password once, and signs in.';
CREATE INDEX sign_in_link_by_user ON sign_in_link (user_id);
CREATE INDEX sign_in_link_by_end ON sign_in_link (expires_at);

CREATE TABLE account_letter (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('invitation', 'password')),
    about       uuid NOT NULL,
    tries       smallint NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    due_at      timestamptz NOT NULL
);
COMMENT ON TABLE account_letter IS 'kind: local. A letter of the installation''s own that is to be mailed: about names the invitation or the sign-in link, whose secret is in no row.';
CREATE INDEX account_letter_by_due ON account_letter (due_at);

CREATE TABLE attempt_bucket (
    subject      bytea PRIMARY KEY CHECK (length(subject) = 32),
    tokens       double precision NOT NULL,
    refilled_at  timestamptz NOT NULL
);
COMMENT ON TABLE attempt_bucket IS 'kind: local. How often an account, or a line to the internet, may still try to sign in; the subject is a keyed hash.';
CREATE INDEX attempt_bucket_by_age ON attempt_bucket (refilled_at);

ALTER TABLE api_key ADD COLUMN expires_at timestamptz;
ALTER TABLE api_key ADD COLUMN made_by_kind text;
ALTER TABLE api_key ADD COLUMN made_by_id text;
ALTER TABLE api_key ADD COLUMN made_by text;
