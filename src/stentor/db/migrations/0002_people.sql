-- People and what they chose. Tables that grow with people carry (part, customer_id) in every key; part is the first 12
-- bits of customer_id, so (part, customer_id) sorts as customer_id does.

CREATE TABLE topic (
    id           uuid PRIMARY KEY,
    brand_id     uuid NOT NULL REFERENCES brand,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description  text NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    channels     integer NOT NULL CHECK (channels > 0),
    enabled      boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (brand_id, key)
);
COMMENT ON TABLE topic IS 'kind: reference. What people opt in to; channels is a mask of 1 << channel number.';

CREATE TABLE topic_counter (
    topic_id     uuid NOT NULL,
    shard        smallint NOT NULL,
    brand_id     uuid NOT NULL,
    subscribers  bigint NOT NULL,
    PRIMARY KEY (topic_id, shard)
);
COMMENT ON TABLE topic_counter IS 'kind: local. Subscriptions with at least one channel, summed over shards; sizes the slices, never decides who is meant.';

CREATE TABLE customer (
    part             smallint NOT NULL CHECK (part BETWEEN 0 AND 4095),
    customer_id      uuid NOT NULL,
    brand_id         uuid NOT NULL,
    external_id      text NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    address_mask     integer NOT NULL DEFAULT 0,
    valid_mask       integer NOT NULL DEFAULT 0,
    agreed_mask      integer NOT NULL DEFAULT 0,
    refused_mask     integer NOT NULL DEFAULT 0,
    bounced_mask     integer NOT NULL DEFAULT 0,
    complained_mask  integer NOT NULL DEFAULT 0,
    shared_address   boolean NOT NULL DEFAULT false,
    email            text,
    email_digest     bytea CHECK (length(email_digest) = 16),
    phone            text,
    phone_digest     bytea CHECK (length(phone_digest) = 16),
    push_tokens      text[] NOT NULL DEFAULT '{}',
    locale           text,
    time_zone        text,
    -- What is known of where somebody is; guard/places.py has its twin.
    place            text NOT NULL GENERATED ALWAYS AS (coalesce(time_zone, left(phone, 5), '')) STORED,
    attributes       jsonb NOT NULL DEFAULT '{}',
    anonymous        boolean NOT NULL GENERATED ALWAYS AS (starts_with(external_id, 'addr:')) STORED,
    PRIMARY KEY (part, customer_id),
    CHECK (valid_mask & ~address_mask = 0),
    CHECK (agreed_mask & refused_mask = 0)
);
COMMENT ON TABLE customer IS 'kind: people. One person in a brand. address_mask: channels there is an address for; valid_mask: those whose address is valid; agreed and refused: the channel flags yes and no. anonymous: a bare address that messages were sent to, which is nobody''s customer and goes with its last message.';
-- With all that planning asks of a person: people lie in the table in the order in which they came, and to fetch a page for
-- each cost twice the time of all the rest.
CREATE INDEX customer_by_brand ON customer (brand_id, part, customer_id)
    INCLUDE (refused_mask, complained_mask, bounced_mask, address_mask, valid_mask, locale, place) WHERE NOT anonymous;
CREATE INDEX customer_anonymous ON customer (brand_id, part, customer_id) WHERE anonymous;

CREATE TABLE subscription (
    part         smallint NOT NULL,
    customer_id  uuid NOT NULL,
    topic_id     uuid NOT NULL,
    brand_id     uuid NOT NULL,
    channels     integer NOT NULL CHECK (channels >= 0),
    changed_at   timestamptz NOT NULL,
    PRIMARY KEY (topic_id, part, customer_id) INCLUDE (brand_id, channels)
);
COMMENT ON TABLE subscription IS 'kind: people. The channels a person chose for a topic; 0 is a withdrawal that is remembered.';
CREATE INDEX subscription_by_person ON subscription (part, customer_id);

CREATE TABLE consent_event (
    part          smallint NOT NULL,
    customer_id   uuid NOT NULL,
    event_id      uuid NOT NULL,
    brand_id      uuid NOT NULL,
    at            timestamptz NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('subscribed', 'unsubscribed', 'requested', 'agreed', 'refused', 'unset')),
    topic_id      uuid,
    channels      integer NOT NULL CHECK (channels > 0),
    source        text NOT NULL,
    actor         text NOT NULL DEFAULT '',
    ip            inet,
    text_version  text NOT NULL DEFAULT '',
    note          text NOT NULL DEFAULT '',
    PRIMARY KEY (part, customer_id, event_id),
    CHECK ((topic_id IS NOT NULL) = (kind IN ('subscribed', 'unsubscribed', 'requested')))
);
COMMENT ON TABLE consent_event IS 'kind: people. Append-only: who chose what, when, how, from where. Subscriptions and channel flags can be derived from it; a requested opt-in waits for its confirmation and changes neither.';

CREATE TABLE address_owner (
    shard      smallint NOT NULL CHECK (shard BETWEEN 0 AND 4095),
    brand_id   uuid NOT NULL,
    channel    smallint NOT NULL,
    digest     bytea NOT NULL CHECK (length(digest) = 16),
    customers  uuid[] NOT NULL CHECK (cardinality(customers) > 0),
    PRIMARY KEY (shard, brand_id, channel, digest)
);
COMMENT ON TABLE address_owner IS 'kind: lookup. Who has an address (channel 1 e-mail, 2 phone); shard is the first 12 bits of the digest. Upserts lock it in (shard, brand, channel, digest) order.';

CREATE TABLE import_job (
    id             uuid PRIMARY KEY,
    brand_id       uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('customers', 'subscriptions')),
    format         text NOT NULL CHECK (format IN ('csv', 'ndjson')),
    source         text NOT NULL,
    state          text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed')),
    bytes_done     bigint NOT NULL DEFAULT 0,
    bytes_total    bigint,
    lines_done     bigint NOT NULL DEFAULT 0,
    added          bigint NOT NULL DEFAULT 0,
    changed        bigint NOT NULL DEFAULT 0,
    unchanged      bigint NOT NULL DEFAULT 0,
    rejected       bigint NOT NULL DEFAULT 0,
    bad_addresses  bigint NOT NULL DEFAULT 0,
    problem        text NOT NULL DEFAULT '',
    resume         jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
COMMENT ON TABLE import_job IS 'kind: local. One import of people or subscriptions: where it stands and where it would go on.';
CREATE INDEX import_job_by_brand ON import_job (brand_id, id);

CREATE TABLE import_reject (
    job_id    uuid NOT NULL REFERENCES import_job ON DELETE CASCADE,
    line      bigint NOT NULL,
    brand_id  uuid NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (job_id, line)
);
COMMENT ON TABLE import_reject IS 'kind: local. A line that an import did not take, and why.';

-- What the planner may read of people: who is subscribed, and what is keyed by the person.
CREATE VIEW topic_audience AS
SELECT brand_id, topic_id, part, customer_id, channels
FROM subscription
WHERE channels <> 0;

CREATE VIEW person AS
SELECT brand_id, part, customer_id, address_mask, valid_mask, refused_mask, bounced_mask, complained_mask,
    shared_address, email_digest, phone_digest, locale, time_zone, place, anonymous
FROM customer;

-- A person at the moment of a wave: what the guard asks and what templates may say.
CREATE VIEW recipient AS
SELECT brand_id, part, customer_id, refused_mask, complained_mask, bounced_mask, address_mask, valid_mask, shared_address,
    external_id, email, email_digest, phone, phone_digest, push_tokens, locale, time_zone, attributes
FROM customer;

-- The person-keyed guard as an expression: the reason why this person must not be written to on the channel of that bit,
-- or 0. The twin of guard/person.py, in the same order. The database inlines it; nothing is called per person.
CREATE FUNCTION person_objection(
    refused_mask integer, complained_mask integer, bounced_mask integer, address_mask integer, valid_mask integer, channel_bit integer
) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (CASE
        WHEN refused_mask & channel_bit <> 0 THEN 2
        WHEN complained_mask & channel_bit <> 0 THEN 5
        WHEN bounced_mask & channel_bit <> 0 THEN 4
        WHEN address_mask & channel_bit = 0 THEN 11
        WHEN valid_mask & channel_bit = 0 THEN 12
        ELSE 0
    END)::smallint
$$;
