-- Pulls: lists of send details, frozen for an outside service that fetches them page by page; and revocations, the news that
-- somebody on one has since said no.
--
-- The indexes of what was said no to lately hold one entry for each no, and none for anybody who says yes.
-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint, ban-char-field, prefer-bigint-over-int

CREATE TABLE pulled_run (
    execution_id    uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel_number  integer NOT NULL,
    brand_id        uuid NOT NULL,
    channel         smallint NOT NULL CHECK (channel BETWEEN 1 AND 9),
    revoked         bigint NOT NULL DEFAULT 0,
    watched_until   timestamptz NOT NULL,
    lists           text NOT NULL DEFAULT '',
    swept_to        smallint,
    sweep_again     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (execution_id, channel_number)
);
COMMENT ON TABLE pulled_run IS 'kind: local. What an execution sends by one partner channel, once somebody has pulled it. revoked: the number of its last revocation; watched_until: when nobody has to be told any more. lists: which opt-out lists, and which states of their files, its people were asked about; swept_to: the next part to be asked anew, where that has changed, and sweep_again: it has changed once more since.';
CREATE INDEX pulled_run_watched ON pulled_run (brand_id, watched_until);
CREATE INDEX pulled_run_to_sweep ON pulled_run (execution_id, channel_number) WHERE swept_to IS NOT NULL;

CREATE TABLE pull_watch (
    brand_id    uuid PRIMARY KEY REFERENCES brand ON DELETE CASCADE,
    watched_to  timestamptz NOT NULL
);
COMMENT ON TABLE pull_watch IS 'kind: reference. How far a brand was watched for those who say no after they were pulled: what bears an earlier time, and was not said before the watched runs were frozen, was looked at.';

CREATE TABLE pull (
    id              uuid PRIMARY KEY,
    brand_id        uuid NOT NULL,
    execution_id    uuid NOT NULL,
    channel_number  integer NOT NULL,
    puller_id       uuid NOT NULL,
    puller          text NOT NULL,
    rows            integer NOT NULL DEFAULT 0 CHECK (rows >= 0),
    leased_to       integer NOT NULL DEFAULT 0 CHECK (leased_to >= 0),
    capped          boolean NOT NULL DEFAULT false,
    started_at      timestamptz NOT NULL,
    frozen_at       timestamptz,
    replaced_at     timestamptz,
    dropped_at      timestamptz,
    settled_at      timestamptz,
    FOREIGN KEY (execution_id, channel_number) REFERENCES pulled_run ON DELETE CASCADE
);
COMMENT ON TABLE pull IS 'kind: local. A list of send details as it was frozen for a client (puller_id: a hub client, or an API key): rows of them, at the positions from 0 on; before leased_to all were leased. Without frozen_at it is being frozen, or whoever froze it died. replaced_at: the next one was frozen, and its rows go (dropped_at). capped: its people hold reservations, given back to whoever was not handed over when the execution is over (settled_at).';
CREATE INDEX pull_by_run ON pull (execution_id, channel_number, id);
CREATE INDEX pull_by_brand ON pull (brand_id, id);
CREATE INDEX pull_to_drop ON pull (id) WHERE dropped_at IS NULL AND (replaced_at IS NOT NULL OR frozen_at IS NULL);
CREATE INDEX pull_to_settle ON pull (id) WHERE capped AND settled_at IS NULL;

CREATE TABLE pull_latest (
    execution_id    uuid NOT NULL,
    channel_number  integer NOT NULL,
    puller_id       uuid NOT NULL,
    brand_id        uuid NOT NULL,
    pull_id         uuid REFERENCES pull ON DELETE CASCADE,
    PRIMARY KEY (execution_id, channel_number, puller_id),
    FOREIGN KEY (execution_id, channel_number) REFERENCES pulled_run ON DELETE CASCADE
);
COMMENT ON TABLE pull_latest IS 'kind: local. Which pull a client reads; locked while its next one is being frozen.';

CREATE TABLE pull_page (
    id               uuid PRIMARY KEY,
    pull_id          uuid NOT NULL REFERENCES pull ON DELETE CASCADE,
    brand_id         uuid NOT NULL,
    position_from    integer NOT NULL CHECK (position_from >= 0),
    position_to      integer NOT NULL,
    asked_by         text NOT NULL,
    asked_at         timestamptz NOT NULL,
    lease_until      timestamptz,
    released_at      timestamptz,
    handed_over_at   timestamptz,
    handed_over      integer NOT NULL DEFAULT 0,
    CHECK (position_to > position_from),
    CHECK (released_at IS NULL OR handed_over_at IS NULL)
);
COMMENT ON TABLE pull_page IS 'kind: local. Who fetched which rows of a pull, and when they were handed over: when the last byte was written, or a lease was acknowledged; handed_over counts the sends that were not before. With a lease_until nobody else gets the rows until then.';
CREATE INDEX pull_page_by_pull ON pull_page (pull_id, position_from);
CREATE INDEX pull_page_leased ON pull_page (pull_id, position_from) WHERE lease_until IS NOT NULL AND handed_over_at IS NULL;

CREATE TABLE pull_row (
    execution_id  uuid NOT NULL,
    pull_id       uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    scheduled_at  timestamptz NOT NULL,
    position      integer NOT NULL,
    template      integer NOT NULL,
    part          smallint NOT NULL,
    PRIMARY KEY (execution_id, pull_id, position, part, customer_id)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE pull_row IS 'kind: people. Who is at which position of a pull, with which TemplateID, and from when on they may be written to. Names, addresses and attributes are read where they are: whoever is erased keeps the position, and nothing else.';
CREATE TABLE pull_row_other PARTITION OF pull_row DEFAULT;

CREATE TABLE revocation (
    execution_id    uuid NOT NULL,
    customer_id     uuid NOT NULL,
    brand_id        uuid NOT NULL,
    number          bigint NOT NULL,
    at              timestamptz NOT NULL,
    channel_number  integer NOT NULL,
    part            smallint NOT NULL,
    reason          smallint NOT NULL CHECK (reason > 0),
    PRIMARY KEY (execution_id, part, customer_id, channel_number)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE revocation IS 'kind: people. That somebody who was on a pull has since said no. number counts those of one run and channel in the order of their commits, so that who has read up to one has missed none before it.';
CREATE INDEX revocation_by_number ON revocation (execution_id, channel_number, number);
CREATE TABLE revocation_other PARTITION OF revocation DEFAULT;

CREATE INDEX consent_event_noes ON consent_event (brand_id, at) WHERE kind IN ('unsubscribed', 'refused');
CREATE INDEX optout_recent_by_time ON optout_recent (list_id, at);
CREATE INDEX customer_merged_by_time ON customer_merged (brand_id, merged_at);

-- As before, with two tables more.
CREATE OR REPLACE FUNCTION make_week(week timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    monday timestamptz := date_trunc('week', week, 'UTC');
    made integer := 0;
    parent text;
    child text;
    -- Less than half-full pages let every send's settling stay on its page, without touching the index. Each row is written
    -- and settled once: vacuuming at each twentieth took a fifth of the processor from planning and left the pages as they were.
    storage text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context', 'cast_member', 'step_wait', 'pull_row', 'revocation'] LOOP
        child := parent || to_char(monday AT TIME ZONE 'UTC', '"_"IYYY"w"IW');
        storage := CASE parent WHEN 'send' THEN ' WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 1, '
            'autovacuum_vacuum_insert_scale_factor = 1, autovacuum_vacuum_insert_threshold = 1000000)' ELSE '' END;
        IF to_regclass(child) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', child, parent,
                uuid_floor(monday), uuid_floor(monday + interval '7 days')) || storage;
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;

CREATE OR REPLACE FUNCTION drop_week(instant timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    week text;
    monday timestamptz;
    parent text;
    dropped integer := 0;
BEGIN
    FOR week IN SELECT weeks_before(instant) LOOP
        monday := to_date(substring(week FROM 2), 'IYYY"w"IW')::timestamp AT TIME ZONE 'UTC';
        CONTINUE WHEN EXISTS (
            SELECT FROM execution WHERE id >= uuid_floor(monday) AND id < uuid_floor(monday + interval '7 days')
        );
        FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context', 'cast_member', 'step_wait', 'pull_row', 'revocation'] LOOP
            IF to_regclass(parent || week) IS NOT NULL THEN
                EXECUTE format('DROP TABLE %I', parent || week);
                dropped := dropped + 1;
            END IF;
        END LOOP;
        EXIT;
    END LOOP;
    RETURN dropped;
END
$$;

-- The weeks that are there already.
SELECT make_week(to_date(substring(c.relname FROM '\d{4}w\d{2}$'), 'IYYY"w"IW')::timestamp AT TIME ZONE 'UTC')
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'send'::regclass AND c.relname ~ '^send_\d{4}w\d{2}$';
