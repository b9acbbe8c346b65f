-- Suppression: every brand has a built-in list, whose entries are effective the moment they are committed.

CREATE TABLE optout_list (
    id          uuid PRIMARY KEY,
    brand_id    uuid NOT NULL REFERENCES brand,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    built_in    boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    UNIQUE (brand_id, name)
);
COMMENT ON TABLE optout_list IS 'kind: reference. A suppression list.';
CREATE UNIQUE INDEX optout_list_built_in ON optout_list (brand_id) WHERE built_in;

CREATE TABLE optout_recent (
    list_id      uuid NOT NULL,
    digest       bytea NOT NULL CHECK (length(digest) = 16),
    brand_id     uuid NOT NULL,
    channel      smallint NOT NULL CHECK (channel IN (1, 2)),
    cause        text NOT NULL CHECK (cause IN ('unsubscribe', 'stop', 'bounce', 'complaint', 'api', 'import')),
    at           timestamptz NOT NULL,
    source       text NOT NULL DEFAULT '',
    PRIMARY KEY (list_id, digest)
);
COMMENT ON TABLE optout_recent IS 'kind: local. Single opt-outs by address digest (channel 1 e-mail, 2 phone): durable and effective at once.';

-- The sandbox inbox: what the default sender of every channel "delivered".
CREATE TABLE sandbox_skeleton (
    brand_id     uuid NOT NULL,
    skeleton_id  bytea NOT NULL,
    content      bytea NOT NULL,
    used_at      timestamptz NOT NULL,
    PRIMARY KEY (brand_id, skeleton_id)
);
COMMENT ON TABLE sandbox_skeleton IS 'kind: local. What all messages of one execution and language share; a message''s parts are spliced into it when someone looks. used_at is at most two minutes older than its newest message.';
CREATE INDEX sandbox_skeleton_by_use ON sandbox_skeleton (brand_id, used_at);

CREATE TABLE sandbox_chaos (
    brand_id    uuid PRIMARY KEY REFERENCES brand,
    rules       jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array'),
    updated_at  timestamptz NOT NULL
);
COMMENT ON TABLE sandbox_chaos IS 'kind: reference. The faults that a brand asked its sandbox to play; no row is none.';

CREATE TABLE sandbox_message (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    at            timestamptz NOT NULL,
    part          smallint NOT NULL,
    channel       smallint NOT NULL,
    skeleton_id   bytea NOT NULL,
    recipient     text NOT NULL,
    subject       text NOT NULL,
    parts         bytea NOT NULL,
    PRIMARY KEY (execution_id, part, customer_id, channel)
);
COMMENT ON TABLE sandbox_message IS 'kind: people. A message in the sandbox inbox: the skeleton it belongs to and its personal parts.';
CREATE INDEX sandbox_message_newest ON sandbox_message (brand_id, at);

CREATE TABLE provider_event (
    shard          smallint NOT NULL CHECK (shard BETWEEN 0 AND 4095),
    provider       text NOT NULL,
    event_id       text NOT NULL,
    brand_id       uuid NOT NULL,
    execution_id   uuid NOT NULL,
    customer_id    uuid NOT NULL,
    part           smallint NOT NULL,
    channel        smallint NOT NULL,
    digest         bytea CHECK (length(digest) = 16),
    kind           text NOT NULL CHECK (kind IN ('delivered', 'bounced', 'complained')),
    at             timestamptz NOT NULL,
    due_at         timestamptz NOT NULL,
    applied_at     timestamptz,
    answer         text NOT NULL DEFAULT '',
    PRIMARY KEY (shard, provider, event_id)
);
COMMENT ON TABLE provider_event IS 'kind: lookup. The inbox of what providers report, stored first and applied once; shard is a hash of provider and event id; digest is of the address that it is about, which the person may have changed since.';
CREATE INDEX provider_event_due ON provider_event (due_at) WHERE applied_at IS NULL;
CREATE INDEX provider_event_by_age ON provider_event (applied_at) WHERE applied_at IS NOT NULL;
