-- What a restored backup must not bring back: keys that were revoked after it.

-- Whether the revocation is in the log that lies outside of the database.
ALTER TABLE api_key ADD COLUMN kept_outside boolean NOT NULL DEFAULT false;

-- When the log of revocations was read into a restored copy; until then no key opens anything in it.
ALTER TABLE installation ADD COLUMN revocations_read_at timestamptz;
-- Copies that were let go before there was a log: somebody answered for them.
UPDATE installation SET revocations_read_at = statement_timestamp() WHERE restored_at IS NOT NULL AND paused_at IS NULL;
