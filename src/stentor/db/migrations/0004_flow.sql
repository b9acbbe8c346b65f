-- One run of a campaign, from the call to the last settled send. Tables that coordinate are local to the coordinator;
-- send and delivery_event grow with people and are partitioned by time: an execution's id is a UUIDv7, so its order is time.

CREATE TABLE execution (
    id              uuid PRIMARY KEY,
    brand_id        uuid NOT NULL,
    publication_id  uuid NOT NULL,
    generator_id    text NOT NULL DEFAULT '',
    topic_key       text NOT NULL DEFAULT '',
    topic_id        uuid,
    context         jsonb NOT NULL,
    lane            smallint NOT NULL CHECK (lane BETWEEN 0 AND 2),
    is_test         boolean NOT NULL DEFAULT false,
    recipients      smallint NOT NULL DEFAULT 0 CHECK (recipients BETWEEN 0 AND 100),
    triggered_by    text NOT NULL DEFAULT '',
    state           text NOT NULL CHECK (state IN ('scheduled', 'queued', 'planning', 'sending', 'ended', 'cancelled', 'failed')),
    slices_left     integer NOT NULL DEFAULT 0 CHECK (slices_left >= 0),
    audience_size   integer NOT NULL DEFAULT 0 CHECK (audience_size >= 0),
    error_code      text CHECK (error_code IN ('TOPIC_NOT_FOUND', 'TOPIC_DISABLED', 'TEMPLATE_INVALID', 'CANCELLED', 'DEADLINE', 'INTERNAL')),
    error_message   text,
    created_at      timestamptz NOT NULL,
    start_at        timestamptz,
    schedule_id     uuid,
    occurrence_at   timestamptz,
    deadline_at     timestamptz,
    status_at       timestamptz NOT NULL,
    published_at    timestamptz,
    paused_at       timestamptz,
    restored_at     timestamptz,
    cancelled_at    timestamptz,
    ended_at        timestamptz,
    remedies        integer NOT NULL DEFAULT 0,
    CHECK ((state = 'failed') <= (error_code IS NOT NULL)),
    CHECK ((state IN ('sending', 'ended')) <= (published_at IS NOT NULL)),
    CHECK ((state = 'scheduled') <= (start_at IS NOT NULL)),
    CHECK ((schedule_id IS NULL) = (occurrence_at IS NULL))
);
COMMENT ON TABLE execution IS 'kind: local. One run of a campaign. lane: 0 transactional, 1 alert, 2 bulk. audience_size counts people, before the guard. recipients: how many the call named, in send_context; 0 where a topic''s subscribers are meant. Its id is a UUIDv7 of when it starts, so that its sends lie in that week''s partition; restored_at is set, and it is paused, where a backup caught it under way; schedule_id and occurrence_at say which occurrence of a schedule it is. ended_at is set when nothing is pending any more, also of a cancelled or failed one; remedies counts those that were ordered.';
CREATE INDEX execution_by_brand ON execution (brand_id, id);
CREATE INDEX execution_to_plan ON execution (lane, status_at, id) WHERE state = 'queued';
CREATE INDEX execution_to_start ON execution (start_at) WHERE state = 'scheduled';
CREATE INDEX execution_with_deadline ON execution (deadline_at) WHERE state IN ('scheduled', 'queued', 'planning', 'sending') AND deadline_at IS NOT NULL;
CREATE INDEX execution_over ON execution (id) WHERE state IN ('cancelled', 'failed') AND ended_at IS NULL;
CREATE INDEX execution_open ON execution (id) WHERE state IN ('sending', 'cancelled', 'failed') AND ended_at IS NULL;

CREATE TABLE slice (
    execution_id  uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    number        smallint NOT NULL,
    brand_id      uuid NOT NULL,
    lane          smallint NOT NULL,
    part_from     smallint NOT NULL,
    part_to       smallint NOT NULL,
    chunks        integer NOT NULL CHECK (chunks > 0),
    chunk_base    integer NOT NULL,
    planned_at    timestamptz,
    PRIMARY KEY (execution_id, number),
    CHECK (part_from BETWEEN 0 AND part_to AND part_to <= 4095)
);
COMMENT ON TABLE slice IS 'kind: local. Parts of one execution: the unit of planning. It is locked while it is planned and done in the transaction that writes its sends.';
CREATE INDEX slice_to_plan ON slice (lane, execution_id, number) WHERE planned_at IS NULL;

CREATE TABLE send (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    decided_at    timestamptz NOT NULL,
    chunk         integer NOT NULL,
    evidence      integer NOT NULL DEFAULT 0,
    part          smallint NOT NULL,
    channel       smallint NOT NULL,
    state         smallint NOT NULL CHECK (state BETWEEN 0 AND 5),
    reason        smallint NOT NULL DEFAULT 0,
    rule          smallint NOT NULL DEFAULT 0,
    variant       smallint NOT NULL DEFAULT 0,
    tries         smallint NOT NULL DEFAULT 0,
    doubts        smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (execution_id, part, customer_id, channel),
    CHECK (state NOT IN (1, 3, 4) OR reason <> 0),
    CHECK (state <> 2 OR reason = 0)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE send IS 'kind: people. The decision for one customer on one channel in one execution, and what became of it. reason, rule, evidence and decided_at are its trace. doubts: how many of its tries were perhaps accepted; then a final no leaves it unknown.';

CREATE TABLE delivery_event (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    event_id      uuid NOT NULL,
    at            timestamptz NOT NULL,
    part          smallint NOT NULL,
    channel       smallint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('accepted', 'deferred', 'rejected', 'in_doubt', 'delivered', 'bounced', 'complained', 'opened', 'clicked', 'unsubscribed', 'template_error')),
    sender_id     uuid,
    answer        text NOT NULL DEFAULT '',
    PRIMARY KEY (execution_id, part, customer_id, event_id)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE delivery_event IS 'kind: people. What was answered or reported about a send, in the provider''s own words.';

CREATE TABLE send_context (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    part          smallint NOT NULL,
    context       jsonb CHECK (jsonb_typeof(context) = 'object'),
    PRIMARY KEY (execution_id, part, customer_id)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE send_context IS 'kind: people. Whom a call named as its recipients, and the fields of the context that are this recipient''s own; null where there are none.';
CREATE INDEX send_context_by_person ON send_context (part, customer_id);

-- What the planner may read of them.
CREATE VIEW named_audience AS
SELECT brand_id, execution_id, part, customer_id
FROM send_context;

-- The first UUIDv7 of an instant; partitions are cut at Mondays 00:00 UTC.
CREATE FUNCTION uuid_floor(instant timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT (lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid $$;

-- Makes the week's partitions where they are missing and answers how many it made.
CREATE FUNCTION make_week(week timestamptz) RETURNS integer
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
    FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context'] LOOP
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

CREATE TABLE send_other PARTITION OF send DEFAULT WITH (fillfactor = 45);
CREATE TABLE delivery_event_other PARTITION OF delivery_event DEFAULT;
CREATE TABLE send_context_other PARTITION OF send_context DEFAULT;
SELECT make_week(statement_timestamp()), make_week(statement_timestamp() + interval '7 days'), make_week(statement_timestamp() + interval '14 days');

CREATE TABLE chunk (
    execution_id  uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    number        integer NOT NULL,
    brand_id      uuid NOT NULL,
    sender_id     uuid NOT NULL,
    channel       smallint NOT NULL,
    lane          smallint NOT NULL,
    key_from      uuid NOT NULL,
    key_to        uuid NOT NULL,
    sends         integer NOT NULL CHECK (sends >= 0),
    due_at        timestamptz NOT NULL,
    done_at       timestamptz,
    parked        boolean NOT NULL DEFAULT false,
    lease_until   timestamptz,
    epoch         integer NOT NULL DEFAULT 0,
    worker        text NOT NULL DEFAULT '',
    PRIMARY KEY (execution_id, number)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE chunk IS 'kind: local. Sends that are claimed together: those of the execution whose chunk is this number, all between key_from and key_to inclusive; parked while a pause holds them up.';
CREATE INDEX chunk_to_claim ON chunk (lane, due_at, execution_id, number) WHERE done_at IS NULL AND NOT parked;
CREATE INDEX chunk_parked ON chunk (execution_id, sender_id) WHERE done_at IS NULL AND parked;

-- The executions and senders of what is parked, by leaps through its index past their chunks.
CREATE FUNCTION parked_pairs() RETURNS TABLE (execution_id uuid, sender_id uuid)
LANGUAGE sql STABLE
AS $$
    WITH RECURSIVE pair AS (
        (
            SELECT c.execution_id, c.sender_id
            FROM chunk c
            WHERE c.parked AND c.done_at IS NULL
            ORDER BY c.execution_id, c.sender_id
            LIMIT 1
        )
        UNION ALL
        SELECT n.execution_id, n.sender_id
        FROM pair p
        CROSS JOIN LATERAL (
            SELECT c.execution_id, c.sender_id
            FROM chunk c
            WHERE c.parked AND c.done_at IS NULL AND (c.execution_id, c.sender_id) > (p.execution_id, p.sender_id)
            ORDER BY c.execution_id, c.sender_id
            LIMIT 1
        ) n
    )
    SELECT p.execution_id, p.sender_id FROM pair p
$$;

CREATE TABLE wave (
    execution_id  uuid NOT NULL,
    chunk         integer NOT NULL,
    number        integer NOT NULL,
    brand_id      uuid NOT NULL,
    sender_id     uuid NOT NULL,
    key_from      uuid NOT NULL,
    key_to        uuid NOT NULL,
    sends         integer NOT NULL CHECK (sends > 0),
    epoch         integer NOT NULL,
    worker        text NOT NULL,
    opened_at     timestamptz NOT NULL,
    settled_at    timestamptz,
    lost          boolean NOT NULL DEFAULT false,
    barren        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (execution_id, chunk, number),
    FOREIGN KEY (execution_id, chunk) REFERENCES chunk ON DELETE CASCADE
);
COMMENT ON TABLE wave IS 'kind: local. An attempt: sends of a chunk handed over together after a fresh guard. Committed before the first byte leaves; lost when its worker never settled it and nothing is known of what it did, barren when nothing of it was answered before its worker was lost.';
CREATE INDEX wave_open ON wave (execution_id, chunk) WHERE settled_at IS NULL;

CREATE TABLE tally (
    execution_id  uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel       smallint NOT NULL,
    shard         smallint NOT NULL,
    state         smallint NOT NULL CHECK (state BETWEEN -1 AND 5),
    reason        smallint NOT NULL,
    brand_id      uuid NOT NULL,
    sends         bigint NOT NULL,
    PRIMARY KEY (execution_id, channel, shard, state, reason)
) WITH (fillfactor = 60);
COMMENT ON TABLE tally IS 'kind: local. Sends of an execution by channel, state and reason, moved in the transaction that changes the state; state -1 is the audience. Shards keep workers off each other''s rows; a sum over them is the count.';

CREATE TABLE address_claim (
    shard         smallint NOT NULL CHECK (shard BETWEEN 0 AND 4095),
    execution_id  uuid NOT NULL,
    channel       smallint NOT NULL,
    digest        bytea NOT NULL,
    brand_id      uuid NOT NULL,
    customer_id   uuid NOT NULL,
    PRIMARY KEY (shard, execution_id, channel, digest)
);
COMMENT ON TABLE address_claim IS 'kind: lookup. Which of the people who share an address an execution wrote to; shard is the first 12 bits of the digest. Written in (shard, digest) order.';
CREATE INDEX address_claim_by_execution ON address_claim (execution_id);

CREATE TABLE sender_bucket (
    sender_id    uuid PRIMARY KEY,
    brand_id     uuid NOT NULL,
    tokens       double precision NOT NULL,
    refilled_at  timestamptz NOT NULL
);
COMMENT ON TABLE sender_bucket IS 'kind: local. The pace of a sender, shared by all workers.';

-- Which of a slice's chunks a person is in: the 24 leading bits of customer_id, of which `part` is the first 12, cut evenly.
-- executions/slicing.py has the inverse.
CREATE FUNCTION chunk_offset(customer_id uuid, part smallint, part_from smallint, part_to smallint, chunks integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ((
        ((part - part_from)::bigint << 12) | ((get_byte(uuid_send(customer_id), 1) & 15) << 8) | get_byte(uuid_send(customer_id), 2)
    ) * chunks / ((part_to - part_from + 1)::bigint << 12))::integer
$$;

-- Which of a template's languages a person reads: the locale itself, then without its last subtag, then its language, else
-- the first. `languages` is null where there is one only.
CREATE FUNCTION variant_for(languages text[], locale text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (CASE WHEN languages IS NULL OR locale IS NULL THEN 0 ELSE coalesce(
        array_position(languages, lower(locale)),
        array_position(languages, lower(regexp_replace(locale, '-[^-]+$', ''))),
        array_position(languages, lower(split_part(locale, '-', 1))),
        1
    ) - 1 END)::smallint
$$;
