-- Executions whose people are not a topic's subscribers and were not named: they are fixed once, as a cast.
--
-- Executions are few beside their sends, so that nobody waits long for the locks.
-- squawk-ignore-file adding-field-with-default, constraint-missing-not-valid, require-concurrent-index-creation, ban-drop-constraint, adding-foreign-key-constraint

CREATE TABLE cast_member (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    routes        bigint NOT NULL CHECK (routes <> 0),
    part          smallint NOT NULL,
    PRIMARY KEY (execution_id, part, customer_id)
) PARTITION BY RANGE (execution_id);
COMMENT ON TABLE cast_member IS 'kind: people. The cast of an execution: whom it means, as its source had them when it started. routes: a mask of the ordinals of the publication''s routes that are meant for this person, at most one for each channel. Written at once and never changed.';
CREATE TABLE cast_member_other PARTITION OF cast_member DEFAULT;

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
    FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context', 'cast_member'] LOOP
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
        FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context', 'cast_member'] LOOP
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

ALTER TABLE execution
    ADD COLUMN campaign_id uuid,
    ADD COLUMN audience jsonb CHECK (jsonb_typeof(audience) = 'object'),
    ADD COLUMN awaits_cast boolean NOT NULL DEFAULT false,
    ADD COLUMN cast_at timestamptz,
    ADD COLUMN cast_size integer CHECK (cast_size >= 0),
    ADD CHECK ((cast_at IS NULL) = (cast_size IS NULL));
ALTER TABLE execution DROP CONSTRAINT execution_error_code_check;
ALTER TABLE execution ADD CONSTRAINT execution_error_code_check CHECK (error_code IN (
    'TOPIC_NOT_FOUND', 'TOPIC_DISABLED', 'AUDIENCE_NOT_FOUND', 'TEMPLATE_INVALID', 'CANCELLED', 'DEADLINE', 'INTERNAL'
));
COMMENT ON TABLE execution IS 'kind: local. One run of a campaign. lane: 0 transactional, 1 alert, 2 bulk. audience_size counts people, before the guard. recipients: how many the call named, in send_context; else audience says whom it means, or, where that is null, a topic''s subscribers are meant. campaign_id: of a campaign that was run itself, and not by an event generator. awaits_cast: its people are to be fixed before it is planned; cast_at and cast_size say when that was done, and how many they are. Its id is a UUIDv7 of when it starts, so that its sends lie in that week''s partition; restored_at is set, and it is paused, where a backup caught it under way; schedule_id and occurrence_at say which occurrence of a schedule it is. ended_at is set when nothing is pending any more, also of a cancelled or failed one; remedies counts those that were ordered.';
CREATE INDEX execution_to_cast ON execution (lane, status_at, id) WHERE state = 'queued' AND awaits_cast;

ALTER TABLE campaign
    ADD COLUMN kind text NOT NULL DEFAULT 'api_triggered' CHECK (kind IN ('api_triggered', 'batch', 'scheduled', 'external')),
    ADD COLUMN publication_id uuid REFERENCES publication;
COMMENT ON TABLE campaign IS 'kind: reference. Content, channels and policy; routes is the ordered list of channel, template and sender. kind: what runs it; an api_triggered one runs by its event generators, all others are published themselves, and publication_id is what they run.';

-- What planning joins, whatever it is of: the people of a topic or of a cast, each with a mask of what is meant for them, channels
-- (1 << number) or routes (1 << ordinal).
CREATE VIEW topic_people AS
SELECT brand_id, topic_id AS audience_id, part, customer_id, channels::bigint AS meant
FROM subscription
WHERE channels <> 0;

CREATE VIEW cast_people AS
SELECT brand_id, execution_id AS audience_id, part, customer_id, routes AS meant
FROM cast_member;
