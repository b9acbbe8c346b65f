-- Minutes ahead that limits per hour have promised to lists of outside services.
-- squawk-ignore-file adding-foreign-key-constraint, prefer-bigint-over-int, require-concurrent-index-creation

CREATE TABLE hour_promise (
    owner_id        uuid NOT NULL,
    due_at          timestamptz NOT NULL,
    execution_id    uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel_number  integer NOT NULL,
    brand_id        uuid NOT NULL,
    sends           integer NOT NULL CHECK (sends > 0),
    PRIMARY KEY (owner_id, due_at, execution_id, channel_number)
);
COMMENT ON TABLE hour_promise IS 'kind: local. How many sends of a minute a limit per hour (owner_id, as of hour_bucket) has promised to the list that an execution has on a partner channel. The bucket pays for them a minute before. They go two hours after their minute.';
CREATE INDEX hour_promise_by_time ON hour_promise (due_at);
CREATE INDEX hour_promise_by_execution ON hour_promise (execution_id);
