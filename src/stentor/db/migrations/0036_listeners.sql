-- Listeners of outside services, and the notices that are on their way to them.
-- squawk-ignore-file ban-drop-constraint, constraint-missing-not-valid

CREATE TABLE listener (
    id             uuid PRIMARY KEY,
    brand_id       uuid NOT NULL REFERENCES brand,
    client_id      uuid NOT NULL REFERENCES hub_client ON DELETE CASCADE,
    event          text NOT NULL CHECK (event ~ '^[a-z_]{1,40}$'),
    channel        integer CHECK (channel > 0),
    url            text NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    served_at      timestamptz,
    answered_at    timestamptz,
    answer         text NOT NULL DEFAULT '' CHECK (length(answer) <= 500),
    delivered_at   timestamptz,
    failing_since  timestamptz,
    failures       integer NOT NULL DEFAULT 0,
    waits_until    timestamptz,
    disabled_at    timestamptz,
    disabled_why   text NOT NULL DEFAULT '' CHECK (length(disabled_why) <= 1000)
);
COMMENT ON TABLE listener IS 'kind: local. A URL at which a client is told of an event: of one channel, or of all that it executes. answer is the last one, a yes or not; failing_since is set by the first failure after a yes. One that is disabled gets nothing until somebody enables it or registers it anew.';
CREATE UNIQUE INDEX listener_key ON listener (client_id, event, coalesce(channel, 0));
CREATE INDEX listener_by_brand ON listener (brand_id, id);

CREATE TABLE notice (
    id            uuid PRIMARY KEY,
    brand_id      uuid NOT NULL,
    listener_id   uuid NOT NULL REFERENCES listener ON DELETE CASCADE,
    event         text NOT NULL CHECK (event ~ '^[a-z_]{1,40}$'),
    body          text NOT NULL CHECK (length(body) BETWEEN 1 AND 65536),
    execution_id  uuid,
    customer_id   uuid,
    made_at       timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    lease_until   timestamptz,
    tries         smallint NOT NULL DEFAULT 0,
    status        smallint,
    answer        text NOT NULL DEFAULT '' CHECK (length(answer) <= 500),
    answered_at   timestamptz,
    ended_at      timestamptz,
    outcome       text CHECK (outcome IN ('delivered', 'given_up', 'missed')),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE notice IS 'kind: local. One notification on its way to one listener: the bytes of its body, the same at each try. Whoever claims it has it until lease_until. customer_id is set where the body names a person. missed: made while the listener was disabled or had too many waiting; it can be replayed, as those that were given up.';
CREATE INDEX notice_by_due ON notice (due_at) WHERE ended_at IS NULL;
CREATE INDEX notice_to_deliver ON notice (listener_id, due_at, id) WHERE ended_at IS NULL;
CREATE INDEX notice_on_the_way ON notice (listener_id) WHERE lease_until IS NOT NULL;
CREATE INDEX notice_by_listener ON notice (listener_id, id);
CREATE INDEX notice_by_age ON notice (made_at);
CREATE INDEX notice_by_customer ON notice (brand_id, customer_id) WHERE customer_id IS NOT NULL;

CREATE TABLE client_signing (
    client_id   uuid PRIMARY KEY REFERENCES hub_client ON DELETE CASCADE,
    brand_id    uuid NOT NULL REFERENCES brand,
    generation  integer NOT NULL CHECK (generation > 0),
    rotated_at  timestamptz NOT NULL
);
COMMENT ON TABLE client_signing IS 'kind: reference. Which of its signing secrets a client has by now; a client without a row has the first. The secrets themselves are derived from the installation''s, and are in no row.';

CREATE TABLE listener_day (
    brand_id      uuid NOT NULL,
    day           date NOT NULL,
    published_at  timestamptz,
    processed_at  timestamptz,
    closed_at     timestamptz,
    PRIMARY KEY (brand_id, day)
);
COMMENT ON TABLE listener_day IS 'kind: local. What listeners were told of a brand''s day, by the brand''s clock: published_at is the last publication of which they were, processed_at when they were told that all of the day''s were, closed_at that the day was over.';
CREATE INDEX listener_day_open ON listener_day (day) WHERE processed_at IS NULL OR processed_at < published_at;

-- Letters to the owners of a brand whose listener was switched off.
ALTER TABLE account_letter
    ADD COLUMN user_id uuid,
    DROP CONSTRAINT account_letter_kind_check,
    ADD CONSTRAINT account_letter_kind_check CHECK (kind IN ('invitation', 'password', 'test_recipient', 'listener'));
COMMENT ON COLUMN account_letter.user_id IS 'Whom it goes to, where what it is about does not say that.';
