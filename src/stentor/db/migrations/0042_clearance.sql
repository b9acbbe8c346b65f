-- Campaigns that outside services clear person by person before they are executed.
-- squawk-ignore-file require-concurrent-index-creation

ALTER TABLE partner_run
    ADD COLUMN held_channels integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN required_by timestamptz;
COMMENT ON COLUMN partner_run.held_channels IS 'Of a run that has to be cleared: the channels that it will go out by. They are its channels once required_by has come and whoever was not cleared is skipped; until then there is nothing to be pulled.';
CREATE INDEX partner_run_held ON partner_run (required_by) WHERE held_channels <> '{}';

CREATE TABLE clearance (
    execution_id  uuid NOT NULL,
    part          smallint NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    cleared       boolean NOT NULL,
    told_at       timestamptz NOT NULL,
    PRIMARY KEY (execution_id, part, customer_id)
);
COMMENT ON TABLE clearance IS 'kind: people. What was last told of a person for a run that has to be cleared; of whom nothing was told is not cleared. It goes when the run was released, a month later at the latest.';
CREATE INDEX clearance_by_customer ON clearance (part, customer_id);
