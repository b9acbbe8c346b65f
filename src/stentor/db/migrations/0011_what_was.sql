-- What was, for whoever asks later why somebody was written to or was not. Each table keeps what another one forgets.

-- What the guard goes by in a brand's settings: caps, quiet hours, and where its people are of whom nothing else is known.
CREATE FUNCTION policy_in(settings jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- What is not stored is as it is by default, stored or not.
    SELECT jsonb_build_object(
        'policy', coalesce(settings -> 'policy', '{}'), 'quiet_hours', coalesce(settings -> 'quiet_hours', '[]'),
        'default_time_zone', coalesce(settings -> 'default_time_zone', '"UTC"'),
        'default_country', coalesce(settings -> 'default_country', 'null')
    )
$$;

CREATE TABLE brand_policy_version (
    brand_id  uuid NOT NULL REFERENCES brand,
    version   integer NOT NULL CHECK (version > 0),
    policy    jsonb NOT NULL CHECK (jsonb_typeof(policy) = 'object'),
    since     timestamptz NOT NULL,
    PRIMARY KEY (brand_id, version)
);
COMMENT ON TABLE brand_policy_version IS 'kind: reference. Append-only: what the guard goes by in a brand''s settings, and since when; written in the transaction that changes them to something else.';
INSERT INTO brand_policy_version (brand_id, version, policy, since) SELECT id, 1, policy_in(settings), created_at FROM brand;

CREATE TABLE optout_lifted (
    list_id    uuid NOT NULL,
    digest     bytea NOT NULL CHECK (length(digest) = 16),
    brand_id   uuid NOT NULL,
    channel    smallint NOT NULL CHECK (channel IN (1, 2)),
    cause      text NOT NULL,
    at         timestamptz NOT NULL,
    source     text NOT NULL,
    lifted_at  timestamptz NOT NULL,
    PRIMARY KEY (list_id, digest, lifted_at)
);
COMMENT ON TABLE optout_lifted IS 'kind: local. Append-only: single opt-outs that were lifted, each as it was, and when.';

CREATE TABLE customer_past (
    part             smallint NOT NULL,
    customer_id      uuid NOT NULL,
    until            timestamptz NOT NULL,
    brand_id         uuid NOT NULL,
    address_mask     integer NOT NULL,
    valid_mask       integer NOT NULL,
    bounced_mask     integer NOT NULL,
    complained_mask  integer NOT NULL,
    email_digest     bytea CHECK (length(email_digest) = 16),
    phone_digest     bytea CHECK (length(phone_digest) = 16),
    place            text NOT NULL,
    PRIMARY KEY (part, customer_id, until)
);
COMMENT ON TABLE customer_past IS 'kind: people. Append-only, as long as history is kept: what the guard asks of a person beside their choices, as it was until then; the present is in customer.';
