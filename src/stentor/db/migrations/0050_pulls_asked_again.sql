-- What pulls need to ask again about who was guarded before: by which address that was, who can be meant at all, and noes by their time.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, adding-not-nullable-field

ALTER TABLE pull_row ADD COLUMN digest bytea;
COMMENT ON COLUMN pull_row.digest IS 'The first 8 bytes of the digest of the address that was guarded; of somebody who has another one since, the page asks again. Null where addresses of the channel have no digest, and in lists that were frozen before this was kept.';

ALTER TABLE pull ADD COLUMN emptied_at timestamptz;
UPDATE pull SET emptied_at = dropped_at WHERE dropped_at IS NOT NULL;
COMMENT ON COLUMN pull.dropped_at IS 'From when on nobody reads its rows any more; they go after that, until emptied_at.';
DROP INDEX pull_to_drop;
CREATE INDEX pull_to_drop ON pull (id) WHERE emptied_at IS NULL AND (dropped_at IS NOT NULL OR replaced_at IS NOT NULL OR frozen_at IS NULL);
CREATE INDEX pull_latest_by_pull ON pull_latest (pull_id);

ALTER TABLE pulled_run ADD COLUMN is_wide boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN pulled_run.is_wide IS 'It goes to the subscribers of a topic, so that anybody may be meant. Of the others, whose people were named or cast, each person is found by an index.';
UPDATE pulled_run r
SET is_wide = e.recipients = 0 AND e.cast_size IS NULL
FROM execution e
WHERE e.id = r.execution_id;
CREATE INDEX pulled_run_wide ON pulled_run (brand_id, watched_until) WHERE is_wide;
CREATE INDEX pulled_run_of_channel ON pulled_run (brand_id, channel, watched_until);

ALTER TABLE customer_past ADD COLUMN barred boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN customer_past.barred IS 'It ended because an address of theirs was called dead, or they complained.';
CREATE INDEX customer_past_barred ON customer_past (brand_id, until) WHERE barred;
