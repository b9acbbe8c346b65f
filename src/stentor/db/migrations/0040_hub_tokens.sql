-- What partners get for their credentials by Login.
-- squawk-ignore-file require-concurrent-index-creation

CREATE TABLE hub_token (
    digest      bytea PRIMARY KEY CHECK (length(digest) = 32),
    client_id   uuid NOT NULL REFERENCES hub_client ON DELETE CASCADE,
    stamp       bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
COMMENT ON TABLE hub_token IS 'kind: local. A token of a hub client, as a keyed hash. stamp is that of the credentials that it was given for: with other ones it is over. It lasts from call to call; expires_at is put ahead at most once a minute.';
CREATE INDEX hub_token_by_client ON hub_token (client_id, created_at DESC, digest);
CREATE INDEX hub_token_by_end ON hub_token (expires_at);

-- What partners know by integers, and we by ids: segments are their target groups, campaigns their actions.
CREATE TABLE hub_number (
    brand_id  uuid NOT NULL REFERENCES brand,
    kind      text NOT NULL CHECK (kind IN ('segment', 'campaign')),
    number    integer NOT NULL CHECK (number > 1),
    thing_id  uuid NOT NULL,
    PRIMARY KEY (brand_id, kind, number),
    UNIQUE (brand_id, kind, thing_id)
);
COMMENT ON TABLE hub_number IS 'kind: reference. What partners call a segment or a campaign of a brand. A number is never given to anything else.';

CREATE TABLE promotion (
    brand_id    uuid NOT NULL REFERENCES brand,
    code        text NOT NULL CHECK (length(code) BETWEEN 1 AND 200),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (brand_id, code)
);
COMMENT ON TABLE promotion IS 'kind: reference. A promo code of a partner''s bonus system, and what people call it.';

CREATE INDEX partner_run_by_time ON partner_run (brand_id, published_at);
