-- What partners report: totals without people, facts about people, and the ids of facts that were told already.
--
-- What was reported before had fewer kinds, so that no row has to be looked at for the new ones.
-- squawk-ignore-file constraint-missing-not-valid, ban-drop-constraint, ban-char-field, adding-foreign-key-constraint

ALTER TABLE delivery_event
    DROP CONSTRAINT delivery_event_kind_check,
    ADD COLUMN partner_channel integer,
    ADD COLUMN partner_template integer,
    ADD COLUMN recipient_group smallint;
ALTER TABLE delivery_event ADD CONSTRAINT delivery_event_kind_check CHECK (kind IN (
    'accepted', 'deferred', 'rejected', 'in_doubt', 'sent', 'delivered', 'bounced', 'dropped', 'complained', 'opened', 'clicked',
    'replied', 'answered', 'unsubscribed', 'template_error'
)) NOT VALID;
COMMENT ON COLUMN delivery_event.partner_channel IS 'The partner channel whose service told it; null where no partner did.';
COMMENT ON COLUMN delivery_event.partner_template IS 'The partner template that the service said it of; 0 where it said none.';
COMMENT ON COLUMN delivery_event.recipient_group IS 'The group of recipients that the service said; null where it said none.';

CREATE TABLE reported_metric (
    execution_id     uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel_number   integer NOT NULL,
    template_number  integer NOT NULL,
    metric           smallint NOT NULL CHECK (metric BETWEEN 0 AND 8),
    brand_id         uuid NOT NULL,
    value            bigint NOT NULL CHECK (value >= 0),
    reported_at      timestamptz NOT NULL,
    PRIMARY KEY (execution_id, channel_number, template_number, metric)
);
COMMENT ON TABLE reported_metric IS 'kind: local. A total that a partner reports of an execution, without saying whose: it is shown as reported and moves no send.';

CREATE TABLE reported_interaction (
    execution_id     uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel_number   integer NOT NULL,
    template_number  integer NOT NULL,
    event            smallint NOT NULL CHECK (event BETWEEN 0 AND 8),
    day              date NOT NULL,
    recipient_group  smallint NOT NULL,
    brand_id         uuid NOT NULL,
    calls            integer NOT NULL,
    customers        bigint NOT NULL,
    unknown          bigint NOT NULL,
    reported_at      timestamptz NOT NULL,
    PRIMARY KEY (execution_id, channel_number, template_number, event, day, recipient_group)
);
COMMENT ON TABLE reported_interaction IS 'kind: local. The calls in which a partner named people who did something on a day: how many calls, how many names in them, and how many of those were not sent to. The people themselves are in delivery_event, each once.';

CREATE TABLE fact_tally (
    execution_id     uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel_number   integer NOT NULL,
    template_number  integer NOT NULL,
    kind             smallint NOT NULL CHECK (kind BETWEEN 0 AND 8),
    brand_id         uuid NOT NULL,
    people           bigint NOT NULL,
    PRIMARY KEY (execution_id, channel_number, template_number, kind)
);
COMMENT ON TABLE fact_tally IS 'kind: local. Of how many people a partner told a fact of that kind, each person once, moved in the transaction that enters the facts.';

CREATE TABLE told_fact (
    shard     smallint NOT NULL CHECK (shard BETWEEN 0 AND 4095),
    digest    bytea NOT NULL CHECK (length(digest) = 16),
    brand_id  uuid NOT NULL,
    told_at   timestamptz NOT NULL,
    PRIMARY KEY (shard, digest)
);
COMMENT ON TABLE told_fact IS 'kind: lookup. Facts that were told under an id: digest is a hash of the brand and that id, shard its first bits. Telling one again changes nothing.';
CREATE INDEX told_fact_by_age ON told_fact (told_at);
