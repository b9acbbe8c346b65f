-- Who owns what: organisations, brands, keys. Small tables that configure; on a distributed PostgreSQL they are reference
-- tables.

CREATE TABLE installation (
    only_row            boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    secret_fingerprint  bytea NOT NULL,
    created_at          timestamptz NOT NULL,
    backup_at           timestamptz,
    restored_at         timestamptz,
    paused_at           timestamptz,
    fenced_at           timestamptz,
    resumed_at          timestamptz,
    CHECK ((backup_at IS NULL) = (restored_at IS NULL)),
    CHECK (paused_at IS NULL OR restored_at IS NOT NULL),
    CHECK (paused_at IS NOT NULL OR restored_at IS NULL OR resumed_at IS NOT NULL)
);
COMMENT ON TABLE installation IS 'kind: reference. One row: the fingerprint of the secret that keys, links and send ids were made with, and, where it was restored, from the backup of when. While paused_at is set nothing is planned, claimed, started or resent; fenced_at says that what the backup caught under way was seen to, resumed_at when an operator let it go.';

CREATE TABLE organisation (
    id          uuid PRIMARY KEY,
    number      integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL
);
COMMENT ON TABLE organisation IS 'kind: reference. Owns brands; its number is the X-Tenant-Id of older clients.';

CREATE TABLE brand (
    id               uuid PRIMARY KEY,
    organisation_id  uuid NOT NULL REFERENCES organisation,
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    brand_key        text NOT NULL UNIQUE CHECK (brand_key ~ '^br_[0-9A-Za-z]{22}$'),
    settings         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    UNIQUE (organisation_id, name)
);
COMMENT ON TABLE brand IS 'kind: reference. The tenant: people, topics, campaigns and keys belong to one brand.';

CREATE TABLE api_key (
    number           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id  uuid NOT NULL REFERENCES organisation,
    brand_id         uuid REFERENCES brand,
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    digest           bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    hint             text NOT NULL,
    scopes           text[] NOT NULL,
    is_test          boolean NOT NULL,
    created_at       timestamptz NOT NULL,
    revoked_at       timestamptz
);
COMMENT ON TABLE api_key IS 'kind: reference. Keys of all families as keyed hashes; brand_id is null for a key of the whole organisation.';
CREATE INDEX api_key_by_brand ON api_key (brand_id, number);

CREATE TABLE api_key_use (
    key_number    bigint PRIMARY KEY,
    last_used_at  timestamptz NOT NULL
);
COMMENT ON TABLE api_key_use IS 'kind: local. When a key was last used, to the minute, apart from the key so that using it writes no reference table.';

CREATE TABLE run_bucket (
    brand_id     uuid PRIMARY KEY,
    tokens       double precision NOT NULL,
    refilled_at  timestamptz NOT NULL
);
COMMENT ON TABLE run_bucket IS 'kind: local. Token bucket of a brand''s run calls, shared by all API processes.';

CREATE TABLE idempotency_key (
    brand_id      uuid NOT NULL,
    key           text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash  bytea NOT NULL CHECK (length(request_hash) = 32),
    status        smallint NOT NULL,
    headers       jsonb NOT NULL,
    body          bytea NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (brand_id, key)
);
COMMENT ON TABLE idempotency_key IS 'kind: local. Answers of accepted calls, replayed byte for byte for at least seven days.';
CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);

CREATE TABLE event_claim (
    brand_id      uuid NOT NULL,
    digest        bytea NOT NULL CHECK (length(digest) = 16),
    execution_id  uuid NOT NULL,
    claimed_at    timestamptz NOT NULL,
    until         timestamptz NOT NULL,
    PRIMARY KEY (brand_id, digest)
);
COMMENT ON TABLE event_claim IS 'kind: local. An event that a call told of first, and its execution: who tells of it again before `until` gets that one.';
CREATE INDEX event_claim_by_age ON event_claim (until);

CREATE TABLE role_lease (
    role        text PRIMARY KEY,
    holder      text NOT NULL,
    lease_until timestamptz NOT NULL
);
COMMENT ON TABLE role_lease IS 'kind: local. Which process holds a role that only one may have, such as the keeper.';
