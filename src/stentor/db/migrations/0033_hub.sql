-- The integration hub: channels that outside services execute, their templates and apps, the credentials of those services,
-- and what an execution that they execute is called there.
--
-- Chunks that wait for a pull are parked for as long, and stay out of the two indexes that workers read all the time.
-- squawk-ignore-file ban-drop-constraint, adding-field-with-default, constraint-missing-not-valid, require-concurrent-index-creation, require-concurrent-index-deletion, ban-char-field

ALTER TABLE sender
    DROP CONSTRAINT sender_kind_check,
    ADD CONSTRAINT sender_kind_check CHECK (kind IN ('sandbox', 'smtp', 'webhook', 'listener'));

CREATE TABLE partner_channel (
    brand_id    uuid NOT NULL REFERENCES brand,
    number      integer NOT NULL CHECK (number > 0),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    channel     smallint NOT NULL CHECK (channel BETWEEN 1 AND 9),
    sender_id   uuid NOT NULL REFERENCES sender,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz,
    PRIMARY KEY (brand_id, number)
);
COMMENT ON TABLE partner_channel IS 'kind: reference. A channel of a brand that an outside service executes; number is its ChannelID there. Its sender is of the kind listener: what goes out by it waits until the service pulls it.';
CREATE UNIQUE INDEX partner_channel_by_sender ON partner_channel (sender_id);

CREATE TABLE hub_client (
    id            uuid PRIMARY KEY,
    brand_id      uuid NOT NULL REFERENCES brand,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    username      text NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 200),
    password      text NOT NULL,
    key_digest    bytea UNIQUE CHECK (length(key_digest) = 32),
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);
COMMENT ON TABLE hub_client IS 'kind: reference. An outside service''s credentials for one brand: a user name with the argon2id hash of its password, and a keyed hash of its X-API-KEY. User names are the installation''s, because Login says no brand.';
CREATE INDEX hub_client_by_brand ON hub_client (brand_id, id);

CREATE TABLE client_channel (
    client_id   uuid NOT NULL REFERENCES hub_client ON DELETE CASCADE,
    number      integer NOT NULL,
    brand_id    uuid NOT NULL,
    attributes  text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (client_id, number),
    FOREIGN KEY (brand_id, number) REFERENCES partner_channel
);
COMMENT ON TABLE client_channel IS 'kind: reference. The channels that a client executes, and the names of the attributes that it may pull on each: Email, Phone, and those of the brand''s people.';

CREATE TABLE partner_template (
    brand_id        uuid NOT NULL REFERENCES brand,
    channel_number  integer NOT NULL,
    number          integer NOT NULL,
    id              uuid NOT NULL UNIQUE,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
    app_id          text CHECK (length(app_id) BETWEEN 1 AND 200),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    PRIMARY KEY (brand_id, channel_number, number),
    FOREIGN KEY (brand_id, channel_number) REFERENCES partner_channel
);
COMMENT ON TABLE partner_template IS 'kind: reference. Content that lies with an outside service, by its TemplateID there; id is what a campaign''s route names as its template. What is deleted can be chosen no more, and what was published with it goes on.';

CREATE TABLE partner_app (
    brand_id        uuid NOT NULL REFERENCES brand,
    channel_number  integer NOT NULL,
    app_id          text NOT NULL CHECK (length(app_id) BETWEEN 1 AND 200),
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (brand_id, channel_number, app_id),
    FOREIGN KEY (brand_id, channel_number) REFERENCES partner_channel
);
COMMENT ON TABLE partner_app IS 'kind: reference. The apps by which an outside service can send on a channel.';

-- An execution that goes out by a partner channel has a number of its own in its brand, from its publication on.
CREATE TABLE partner_run (
    brand_id      uuid NOT NULL,
    number        integer NOT NULL CHECK (number > 0),
    execution_id  uuid NOT NULL UNIQUE,
    published_at  timestamptz NOT NULL,
    channels      integer[] NOT NULL,
    PRIMARY KEY (brand_id, number)
);
COMMENT ON TABLE partner_run IS 'kind: local. The CampaignID of an execution that outside services execute, given when it is published; channels are the numbers of the partner channels that it goes out by.';

CREATE TABLE partner_run_counter (
    brand_id  uuid PRIMARY KEY,
    last      integer NOT NULL
);
COMMENT ON TABLE partner_run_counter IS 'kind: local. The last CampaignID that a brand has given; locked by whoever gives the next one.';

-- What became of such an execution, for those who tell it to listeners. Written in the transaction in which it happens.
CREATE TABLE partner_event (
    id            uuid PRIMARY KEY,
    brand_id      uuid NOT NULL,
    execution_id  uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('published', 'cancelled')),
    at            timestamptz NOT NULL,
    told_at       timestamptz
);
COMMENT ON TABLE partner_event IS 'kind: local. An outbox: what happened to an execution of a partner channel, until notices were made of it.';
CREATE INDEX partner_event_to_tell ON partner_event (id) WHERE told_at IS NULL;
CREATE INDEX partner_event_by_execution ON partner_event (execution_id);

-- Chunks that wait for a pull.
ALTER TABLE chunk
    ADD COLUMN pulled boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT chunk_pulled_check CHECK (NOT pulled OR parked OR done_at IS NOT NULL);
COMMENT ON COLUMN chunk.pulled IS 'It goes out by a partner channel: it stays parked until its people were pulled. Where its execution is over before that, it is pulled no more, and workers take it to skip its people.';
DROP INDEX chunk_parked;
CREATE INDEX chunk_parked ON chunk (execution_id, sender_id) WHERE done_at IS NULL AND parked AND NOT pulled;
CREATE INDEX chunk_pulled ON chunk (execution_id, sender_id, number) WHERE done_at IS NULL AND parked AND pulled;

CREATE OR REPLACE FUNCTION parked_pairs() RETURNS TABLE (execution_id uuid, sender_id uuid)
LANGUAGE sql STABLE
AS $$
    WITH RECURSIVE pair AS (
        (
            SELECT c.execution_id, c.sender_id
            FROM chunk c
            WHERE c.parked AND c.done_at IS NULL AND NOT c.pulled
            ORDER BY c.execution_id, c.sender_id
            LIMIT 1
        )
        UNION ALL
        SELECT n.execution_id, n.sender_id
        FROM pair p
        CROSS JOIN LATERAL (
            SELECT c.execution_id, c.sender_id
            FROM chunk c
            WHERE c.parked AND c.done_at IS NULL AND NOT c.pulled
                AND (c.execution_id, c.sender_id) > (p.execution_id, p.sender_id)
            ORDER BY c.execution_id, c.sender_id
            LIMIT 1
        ) n
    )
    SELECT p.execution_id, p.sender_id FROM pair p
$$;
