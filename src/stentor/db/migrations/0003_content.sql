-- What is said, by whom, on which channel: small tables that configure.

CREATE TABLE sender (
    id          uuid PRIMARY KEY,
    brand_id    uuid NOT NULL REFERENCES brand,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    channel     smallint NOT NULL CHECK (channel BETWEEN 1 AND 9),
    kind        text NOT NULL CHECK (kind IN ('sandbox', 'smtp', 'webhook')),
    settings    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    secret      bytea,
    enabled     boolean NOT NULL DEFAULT true,
    in_doubt    text CHECK (in_doubt IN ('at_most_once', 'at_least_once', 'ask')),
    pace_per_s  double precision CHECK (pace_per_s > 0),
    paused_at   timestamptz,
    deleted_at  timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CHECK (enabled OR paused_at IS NOT NULL),
    CHECK (deleted_at IS NULL OR NOT enabled)
);
COMMENT ON TABLE sender IS 'kind: reference. A configured way to deliver on a channel; secret is encrypted with a key outside the database. What is switched off is paused too, and what is deleted is switched off: its history keeps its name, and what still waits for it goes on waiting.';
CREATE UNIQUE INDEX sender_name ON sender (brand_id, name) WHERE deleted_at IS NULL;

-- What anybody may be told of a sender: everything but its secret.
CREATE VIEW sender_facts AS
SELECT id, brand_id, name, channel, kind, settings, secret IS NOT NULL AS has_secret, enabled, in_doubt, pace_per_s,
    paused_at, created_at, updated_at
FROM sender
WHERE deleted_at IS NULL;

CREATE TABLE template (
    id          uuid PRIMARY KEY,
    brand_id    uuid NOT NULL REFERENCES brand,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    channel     smallint NOT NULL CHECK (channel BETWEEN 1 AND 9),
    version     integer NOT NULL CHECK (version > 0),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (brand_id, name)
);
COMMENT ON TABLE template IS 'kind: reference. Content for a channel; version is its newest version.';

CREATE TABLE template_version (
    template_id       uuid NOT NULL REFERENCES template ON DELETE CASCADE,
    version           integer NOT NULL CHECK (version > 0),
    brand_id          uuid NOT NULL,
    default_language  text NOT NULL,
    variants          jsonb NOT NULL CHECK (jsonb_typeof(variants) = 'object'),
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (template_id, version)
);
COMMENT ON TABLE template_version IS 'kind: reference. Immutable content of a template: language to parts.';

CREATE TABLE campaign (
    id             uuid PRIMARY KEY,
    brand_id       uuid NOT NULL REFERENCES brand,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    consent_basis  text NOT NULL CHECK (consent_basis IN ('topic', 'channel', 'none')),
    mode           text NOT NULL CHECK (mode IN ('all', 'first')),
    lane           text NOT NULL CHECK (lane IN ('transactional', 'alert', 'bulk')),
    routes         jsonb NOT NULL CHECK (jsonb_typeof(routes) = 'array'),
    policy         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(policy) = 'object'),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    UNIQUE (brand_id, name)
);
COMMENT ON TABLE campaign IS 'kind: reference. Content, channels and policy; routes is the ordered list of channel, template and sender.';

CREATE TABLE publication (
    id           uuid PRIMARY KEY,
    brand_id     uuid NOT NULL REFERENCES brand,
    campaign_id  uuid NOT NULL REFERENCES campaign,
    content      jsonb NOT NULL CHECK (jsonb_typeof(content) = 'object'),
    created_at   timestamptz NOT NULL
);
COMMENT ON TABLE publication IS 'kind: reference. A campaign frozen as it was checked: what executions render and route by, whatever is edited later.';

CREATE TABLE event_generator (
    brand_id        uuid NOT NULL REFERENCES brand,
    id              text NOT NULL CHECK (length(id) BETWEEN 1 AND 200),
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    type            text NOT NULL CHECK (type IN ('api_triggered', 'scheduled', 'event')),
    campaign_id     uuid NOT NULL REFERENCES campaign,
    context_schema  jsonb,
    deduplication   jsonb CHECK (jsonb_typeof(deduplication) = 'object'),
    publication_id  uuid REFERENCES publication,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (brand_id, id)
);
COMMENT ON TABLE event_generator IS 'kind: reference. The public, stable handle that lets an API call run a campaign; publication_id is what it runs, null until published.';
