-- Turns of a cancelled run leave what the keeper looks through each second: until history drops them, they were met again each time.
--
-- Turns are few beside sends: nobody waits long for the locks.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion

ALTER TABLE step_turn ADD COLUMN dropped_at timestamptz;
COMMENT ON COLUMN step_turn.dropped_at IS 'When its run was cancelled, before the turn was started.';

UPDATE step_turn t
SET dropped_at = s.cancelled_at
FROM stepping s
WHERE s.execution_id = t.run_id AND s.cancelled_at IS NOT NULL AND t.started_at IS NULL;

DROP INDEX step_turn_to_start;
CREATE INDEX step_turn_to_start ON step_turn (due_at) WHERE started_at IS NULL AND dropped_at IS NULL;

COMMENT ON TABLE step_chunk IS 'kind: local. A chunk whose people were written down, and when the last of them was settled: where more were settled since, or it was opened again, it is looked at again.';
COMMENT ON COLUMN step_chunk.done_at IS 'When it was done, or its last wave until then was settled.';
