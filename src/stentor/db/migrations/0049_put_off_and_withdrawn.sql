-- Runs of which listeners are told person by person, and notices that must not go out any more.
--
-- What was kept before has fewer outcomes, so that no row has to be looked at for the new one.
-- squawk-ignore-file ban-drop-constraint, constraint-missing-not-valid, require-concurrent-index-creation, require-concurrent-index-deletion

ALTER TABLE partner_event ADD COLUMN put_off_until timestamptz;
COMMENT ON COLUMN partner_event.put_off_until IS 'Of a run that a customer''s event started: until then nobody else of it can be told of, because it is paused, nobody hears, or it is too early for them.';
DROP INDEX partner_event_to_tell;
CREATE INDEX partner_event_to_tell ON partner_event (id) WHERE told_at IS NULL AND put_off_until IS NULL;
CREATE INDEX partner_event_put_off ON partner_event (put_off_until) WHERE told_at IS NULL AND put_off_until IS NOT NULL;

ALTER TABLE notice DROP CONSTRAINT notice_outcome_check;
ALTER TABLE notice ADD CONSTRAINT notice_outcome_check
    CHECK (outcome IN ('delivered', 'given_up', 'missed', 'withdrawn')) NOT VALID;
COMMENT ON TABLE notice IS 'kind: local. One notification on its way to one listener: the bytes of its body, the same at each try. Whoever claims it has it until lease_until. customer_id is set where the body names a person. missed: made while the listener was disabled or had too many waiting; it can be replayed, as those that were given up. withdrawn: it must not be told any more, to that client or of that person, and cannot be replayed.';
