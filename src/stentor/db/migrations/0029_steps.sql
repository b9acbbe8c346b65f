-- Steps: who was handed over waits, and takes the next step in an execution of its own.
--
-- Executions and campaigns are few beside sends, so that nobody waits long for the locks. What providers report had fewer kinds
-- before, so that no row has to be looked at for the new ones.
-- squawk-ignore-file adding-field-with-default, constraint-missing-not-valid, require-concurrent-index-creation, ban-drop-constraint, adding-foreign-key-constraint

ALTER TABLE campaign ADD COLUMN steps jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(steps) = 'array');
COMMENT ON COLUMN campaign.steps IS 'The steps after the first one, whose routes and mode are the campaign''s own.';

ALTER TABLE execution
    ADD COLUMN step smallint NOT NULL DEFAULT 0 CHECK (step >= 0),
    ADD CHECK (step = 0 OR parent_id IS NOT NULL);
COMMENT ON COLUMN execution.parent_id IS 'The execution that it goes on from: whose people it takes, as its experiment''s winner for the rest, or of a step the run, which took the first one.';
COMMENT ON COLUMN execution.step IS 'Which step of its campaign it is, 0 for the first.';

CREATE TABLE stepping (
    execution_id  uuid PRIMARY KEY REFERENCES execution ON DELETE CASCADE,
    brand_id      uuid NOT NULL,
    paused_at     timestamptz,
    cancelled_at  timestamptz,
    ended_at      timestamptz
);
COMMENT ON TABLE stepping IS 'kind: local. A run whose campaign has steps, and how these stand: the run itself may have ended long before they have. paused_at: nothing of it starts until it is resumed.';
CREATE INDEX stepping_open ON stepping (execution_id) WHERE ended_at IS NULL;

CREATE TABLE step_source (
    execution_id  uuid PRIMARY KEY REFERENCES execution ON DELETE CASCADE,
    run_id        uuid NOT NULL REFERENCES stepping ON DELETE CASCADE,
    brand_id      uuid NOT NULL,
    step          smallint NOT NULL CHECK (step > 0),
    wait_s        integer NOT NULL CHECK (wait_s > 0),
    look_at       timestamptz NOT NULL,
    remedies      integer NOT NULL DEFAULT 0,
    done_at       timestamptz
);
COMMENT ON TABLE step_source IS 'kind: local. An execution whose people wait for that step of the run once they were handed over. look_at: when to look again for whom to write down; remedies: how many of its remedies were carried out when all of it was looked through.';
CREATE INDEX step_source_to_look_at ON step_source (look_at) WHERE done_at IS NULL;
CREATE INDEX step_source_of_run ON step_source (run_id);

CREATE TABLE step_chunk (
    execution_id  uuid NOT NULL REFERENCES step_source ON DELETE CASCADE,
    number        integer NOT NULL,
    brand_id      uuid NOT NULL,
    done_at       timestamptz NOT NULL,
    PRIMARY KEY (execution_id, number)
);
COMMENT ON TABLE step_chunk IS 'kind: local. A chunk whose people were written down, as it was done then: one that was opened again is looked at again.';

CREATE TABLE step_turn (
    run_id        uuid NOT NULL REFERENCES stepping ON DELETE CASCADE,
    step          smallint NOT NULL CHECK (step > 0),
    due_at        timestamptz NOT NULL,
    brand_id      uuid NOT NULL,
    people        integer NOT NULL CHECK (people > 0),
    execution_id  uuid,
    started_at    timestamptz,
    gone          integer NOT NULL DEFAULT 0,
    opted_out     integer NOT NULL DEFAULT 0,
    unmet         integer NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, step, due_at),
    CHECK ((execution_id IS NULL) = (started_at IS NULL))
);
COMMENT ON TABLE step_turn IS 'kind: local. Those who fall due for a step together, and the execution that they were given. Once that has its cast, the others are counted here by why they are not in it.';
CREATE INDEX step_turn_to_start ON step_turn (due_at) WHERE started_at IS NULL;
CREATE INDEX step_turn_of_execution ON step_turn (execution_id) WHERE execution_id IS NOT NULL;

CREATE TABLE step_wait (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    source_id     uuid NOT NULL,
    due_at        timestamptz NOT NULL,
    since         timestamptz NOT NULL,
    part          smallint NOT NULL,
    step          smallint NOT NULL CHECK (step > 0),
    PRIMARY KEY (execution_id, step, part, customer_id)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE step_wait IS 'kind: people. When somebody falls due for a step of a run: since they were handed over, in the execution source_id, which is the run or one of its steps. Written once and never changed: who is in the cast of the execution of its turn went on, and the others have left.';
CREATE INDEX step_wait_due ON step_wait (execution_id, step, due_at, part, customer_id);
CREATE TABLE step_wait_other PARTITION OF step_wait DEFAULT;

-- As before, with one table more.
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
    FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context', 'cast_member', 'step_wait'] LOOP
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
        FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context', 'cast_member', 'step_wait'] LOOP
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

ALTER TABLE delivery_event DROP CONSTRAINT delivery_event_kind_check;
ALTER TABLE delivery_event ADD CONSTRAINT delivery_event_kind_check CHECK (kind IN (
    'accepted', 'deferred', 'rejected', 'in_doubt', 'delivered', 'bounced', 'complained', 'opened', 'clicked', 'replied', 'answered',
    'unsubscribed', 'template_error'
)) NOT VALID;
ALTER TABLE provider_event DROP CONSTRAINT provider_event_kind_check;
ALTER TABLE provider_event ADD CONSTRAINT provider_event_kind_check CHECK (kind IN (
    'delivered', 'bounced', 'complained', 'opened', 'clicked', 'replied', 'answered'
)) NOT VALID;
COMMENT ON TABLE delivery_event IS 'kind: people. What was answered or reported about a send, in the provider''s own words; of who replied or answered a question, in theirs.';
