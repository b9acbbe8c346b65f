-- What workers were lost with, and perhaps died of.

ALTER TABLE chunk
    ADD COLUMN suspects integer NOT NULL DEFAULT 0,
    ADD COLUMN suspect_to uuid,
    ADD COLUMN times_lost integer NOT NULL DEFAULT 0;
COMMENT ON TABLE chunk IS 'kind: local. Sends that are claimed together: those of the execution whose chunk is this number, all between key_from and key_to inclusive; parked while a pause holds them up. suspects: as many of those up to suspect_to as its last owner was lost with; times_lost: how many owners in a row were lost before anything was answered.';

-- squawk-ignore ban-drop-column
ALTER TABLE wave DROP COLUMN barren;
COMMENT ON TABLE wave IS 'kind: local. An attempt: sends of a chunk handed over together after a fresh guard. Committed before the first byte leaves; lost when its worker never settled it and nothing is known of what it did.';
