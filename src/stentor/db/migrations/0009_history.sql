-- What is kept of executions when their history is dropped.

CREATE TABLE daily_total (
    brand_id     uuid NOT NULL,
    day          date NOT NULL,
    campaign_id  uuid NOT NULL,
    channel      smallint NOT NULL,
    state        smallint NOT NULL CHECK (state BETWEEN -1 AND 5),
    reason       smallint NOT NULL,
    sends        bigint NOT NULL CHECK (sends >= 0),
    PRIMARY KEY (brand_id, day, campaign_id, channel, state, reason)
);
COMMENT ON TABLE daily_total IS 'kind: local. Sends of executions whose history was dropped, by the day (UTC) on which they started, campaign, channel, state and reason; state -1 is the audience. Added to in the transaction that drops the executions.';

-- The weeks whose partitions lie before that time altogether.
CREATE FUNCTION weeks_before(instant timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
    SELECT substring(c.relname FROM '^send(_\d{4}w\d{2})$')
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'send'::regclass AND c.relname ~ '^send_\d{4}w\d{2}$'
        AND to_date(substring(c.relname FROM '\d{4}w\d{2}$'), 'IYYY"w"IW') + 7 <= (instant AT TIME ZONE 'UTC')::date
    ORDER BY 1
$$;

-- Drops the first of these weeks in which no execution is any more, and answers how many tables that were.
CREATE FUNCTION drop_week(instant timestamptz) RETURNS integer
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
        FOREACH parent IN ARRAY ARRAY['send', 'delivery_event', 'send_context'] LOOP
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
