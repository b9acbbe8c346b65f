-- The end of an execution, and what may be ordered after it.

CREATE TABLE reconciliation (
    execution_id  uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    number        integer NOT NULL CHECK (number > 0),
    brand_id      uuid NOT NULL,
    at            timestamptz NOT NULL,
    balanced      boolean NOT NULL,
    PRIMARY KEY (execution_id, number)
);
COMMENT ON TABLE reconciliation IS 'kind: local. The books of an execution at one of its ends, counted from rows. balanced: the counters said the same.';

CREATE TABLE reconciliation_line (
    execution_id  uuid NOT NULL,
    number        integer NOT NULL,
    channel       smallint NOT NULL,
    state         smallint NOT NULL CHECK (state BETWEEN -1 AND 5),
    reason        smallint NOT NULL,
    brand_id      uuid NOT NULL,
    sends         bigint NOT NULL CHECK (sends >= 0),
    counted       bigint NOT NULL,
    PRIMARY KEY (execution_id, number, channel, state, reason),
    FOREIGN KEY (execution_id, number) REFERENCES reconciliation ON DELETE CASCADE
);
COMMENT ON TABLE reconciliation_line IS 'kind: local. Sends by channel, state and reason as there were rows, and as the counters had it; state -1 is the audience.';

CREATE TABLE remedy (
    execution_id  uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    number        integer NOT NULL CHECK (number > 0),
    brand_id      uuid NOT NULL,
    action        text NOT NULL CHECK (action IN ('retry_failed', 'resend', 'settle_as_handed_over', 'settle_as_failed')),
    channel       smallint,
    asked_by      text NOT NULL,
    asked_at      timestamptz NOT NULL,
    next_part     smallint NOT NULL DEFAULT 0 CHECK (next_part BETWEEN 0 AND 4096),
    sends         integer NOT NULL DEFAULT 0,
    done_at       timestamptz,
    PRIMARY KEY (execution_id, number),
    CHECK (next_part < 4096 OR done_at IS NOT NULL)
);
COMMENT ON TABLE remedy IS 'kind: local. What somebody ordered for the sends that had failed, or were in doubt, when they asked. Carried out part by part: next_part is the first that it has not come to.';
CREATE INDEX remedy_open ON remedy (execution_id, number) WHERE done_at IS NULL;
