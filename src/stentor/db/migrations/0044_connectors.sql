-- Stentor as the service: connectors to hubs, what they were told, the campaigns that they execute, and for whom.
-- squawk-ignore-file prefer-bigint-over-int, prefer-bigint-over-smallint

CREATE TABLE connector (
    id              uuid PRIMARY KEY,
    brand_id        uuid NOT NULL REFERENCES brand,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    url             text NOT NULL,
    username        text NOT NULL DEFAULT '',
    secret          bytea NOT NULL,
    zone            text NOT NULL CHECK (zone IN ('utc', 'brand', 'recipient')),
    attributes      jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
    push_every_s    integer NOT NULL CHECK (push_every_s BETWEEN 60 AND 86400),
    push_days       smallint NOT NULL CHECK (push_days BETWEEN 1 AND 30),
    enabled         boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    last_number     integer NOT NULL DEFAULT 0,
    sync_at         timestamptz NOT NULL,
    failures        integer NOT NULL DEFAULT 0,
    listener_url    text NOT NULL DEFAULT '',
    synced_at       timestamptz,
    noticed_at      timestamptz,
    pulled_at       timestamptz,
    pushed_at       timestamptz,
    failed_at       timestamptz,
    last_error      text NOT NULL DEFAULT '',
    UNIQUE (brand_id, name)
);
COMMENT ON TABLE connector IS 'kind: reference. A hub for which this brand is the service. username is empty where secret, sealed, is an X-API-KEY; attributes says where each attribute there goes here; last_number is the newest TemplateID given; listener_url is what was registered there last.';
CREATE INDEX connector_to_sync ON connector (sync_at) WHERE enabled;

CREATE TABLE connector_channel (
    connector_id  uuid NOT NULL REFERENCES connector ON DELETE CASCADE,
    number        integer NOT NULL CHECK (number > 0),
    brand_id      uuid NOT NULL,
    campaign_id   uuid NOT NULL,
    channel       smallint NOT NULL,
    app_id        text NOT NULL DEFAULT '',
    app_name      text NOT NULL DEFAULT '',
    told_app      text NOT NULL DEFAULT '',
    registered    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (connector_id, number)
);
COMMENT ON TABLE connector_channel IS 'kind: reference. A ChannelID of the hub: which campaign here says by which sender and under which policy its templates are sent. told_app is the app as the hub knows it.';

CREATE TABLE connector_template (
    connector_id  uuid NOT NULL REFERENCES connector ON DELETE CASCADE,
    number        integer NOT NULL CHECK (number > 0),
    channel_number integer NOT NULL,
    brand_id      uuid NOT NULL,
    template_id   uuid NOT NULL,
    told_name     text,
    PRIMARY KEY (connector_id, number),
    UNIQUE (connector_id, channel_number, template_id)
);
COMMENT ON TABLE connector_template IS 'kind: reference. The TemplateID that a template of ours has at the hub for ever; told_name is what the hub calls it, null where it is not there, or not any more.';

CREATE TABLE connector_run (
    id               uuid PRIMARY KEY,
    connector_id     uuid NOT NULL REFERENCES connector ON DELETE CASCADE,
    brand_id         uuid NOT NULL,
    campaign_number  integer NOT NULL,
    channel_number   integer NOT NULL,
    state            text NOT NULL CHECK (state IN ('noticed', 'pulled', 'running', 'closed', 'failed')),
    noticed_at       timestamptz NOT NULL,
    cancelled_at     timestamptz,
    pulled_at        timestamptz,
    started_at       timestamptz,
    pushed_at        timestamptz,
    push_until       timestamptz,
    due_at           timestamptz NOT NULL,
    failures         integer NOT NULL DEFAULT 0,
    rows_read        integer NOT NULL DEFAULT 0,
    people           integer NOT NULL DEFAULT 0,
    refused          integer NOT NULL DEFAULT 0,
    is_settled       boolean NOT NULL DEFAULT false,
    last_error       text NOT NULL DEFAULT '',
    UNIQUE (connector_id, campaign_number, channel_number)
);
COMMENT ON TABLE connector_run IS 'kind: local. A campaign of the hub that is executed here, once whatever is notified twice: noticed, then pulled page by page (rows_read is the next $skip), then running while its figures are pushed until push_until. due_at is when its next step is, and while somebody takes that, until when it is theirs.';
CREATE INDEX connector_run_due ON connector_run (due_at) WHERE state IN ('noticed', 'pulled', 'running');
CREATE INDEX connector_run_over ON connector_run (noticed_at) WHERE state IN ('closed', 'failed');

CREATE TABLE connector_group (
    run_id           uuid NOT NULL REFERENCES connector_run ON DELETE CASCADE,
    number           integer NOT NULL,
    brand_id         uuid NOT NULL,
    template_number  integer NOT NULL,
    start_at         timestamptz NOT NULL,
    tag_id           uuid NOT NULL,
    people           integer NOT NULL DEFAULT 0,
    execution_id     uuid,
    problem          text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, number),
    UNIQUE (run_id, template_number, start_at)
);
COMMENT ON TABLE connector_group IS 'kind: local. Those of a run who get the same template at the same time: an execution for the people of a tag. problem says why there is none.';

CREATE TABLE connector_person (
    run_id       uuid NOT NULL,
    customer_id  uuid NOT NULL,
    brand_id     uuid NOT NULL,
    pulled_at    timestamptz NOT NULL,
    told         integer NOT NULL DEFAULT 0,
    group_number integer NOT NULL,
    part         smallint NOT NULL,
    external_id  text NOT NULL,
    PRIMARY KEY (run_id, part, customer_id)
);
COMMENT ON TABLE connector_person IS 'kind: people. Whom a hub names in a run: their CustomerID there, and which events about them (bits by EventID) it was told.';
CREATE INDEX connector_person_by_person ON connector_person (part, customer_id);
