-- What runs by the clock. What a clock on a wall shows has no zone, and that is what *_local and local_at are.
-- squawk-ignore-file prefer-timestamp-tz

CREATE TABLE schedule (
    id               uuid PRIMARY KEY,
    brand_id         uuid NOT NULL,
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    generator_id     text NOT NULL,
    topic_key        text NOT NULL,
    context          jsonb NOT NULL CHECK (jsonb_typeof(context) = 'object'),
    is_test          boolean NOT NULL,
    time_zone        text NOT NULL,
    at               text,
    cron             text,
    misfire_grace_s  integer NOT NULL CHECK (misfire_grace_s > 0),
    enabled          boolean NOT NULL,
    seen_local       timestamp NOT NULL,
    seen_at          timestamptz NOT NULL,
    next_local       timestamp,
    next_at          timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    UNIQUE (brand_id, name),
    CHECK ((at IS NULL) <> (cron IS NULL)),
    CHECK ((next_local IS NULL) = (next_at IS NULL)),
    CHECK (next_at > seen_at)
);
COMMENT ON TABLE schedule IS 'kind: local. A call that is made by the clock of time_zone: at a time, or by a cron rule. Everything until seen is decided; next is the alarm, worked out anew from the rule and seen when it rings.';
CREATE INDEX schedule_due ON schedule (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE occurrence (
    schedule_id   uuid NOT NULL REFERENCES schedule ON DELETE CASCADE,
    due_at        timestamptz NOT NULL,
    brand_id      uuid NOT NULL,
    local_at      timestamp NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('started', 'missed', 'refused')),
    reason        text,
    message       text,
    execution_id  uuid,
    decided_at    timestamptz NOT NULL,
    PRIMARY KEY (schedule_id, due_at),
    CHECK ((outcome = 'started') = (execution_id IS NOT NULL)),
    CHECK ((outcome = 'started') = (reason IS NULL))
);
COMMENT ON TABLE occurrence IS 'kind: local. A time at which a schedule was due, and what came of it; written in the transaction that inserts its execution.';
