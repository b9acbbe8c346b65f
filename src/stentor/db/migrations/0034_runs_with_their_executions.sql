-- Run numbers, and what is told of them, leave history with their executions.
-- squawk-ignore-file constraint-missing-not-valid, adding-foreign-key-constraint

ALTER TABLE partner_run
    ADD CONSTRAINT partner_run_execution FOREIGN KEY (execution_id) REFERENCES execution ON DELETE CASCADE;
ALTER TABLE partner_event
    ADD CONSTRAINT partner_event_execution FOREIGN KEY (execution_id) REFERENCES execution ON DELETE CASCADE;
