-- Keys of hub clients that ended, by rotation or revocation: what a restored backup must not bring back.
-- squawk-ignore-file ban-drop-constraint, adding-not-nullable-field, constraint-missing-not-valid

CREATE TABLE ended_hub_key (
    key_digest    bytea PRIMARY KEY CHECK (length(key_digest) = 32),
    ended_at      timestamptz NOT NULL,
    kept_outside  boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE ended_hub_key IS 'kind: local. Keyed hashes of the X-API-KEYs of hub clients that open nothing any more; kept_outside: it is in the log that lies outside of the database.';
CREATE INDEX ended_hub_key_to_keep ON ended_hub_key (key_digest) WHERE NOT kept_outside;

-- A client's password and key are one thing, and change together.
ALTER TABLE hub_client ALTER COLUMN key_digest SET NOT NULL;

-- An outside service says itself which templates and apps it has.
ALTER TABLE audit_entry
    DROP CONSTRAINT audit_entry_actor_kind_check,
    ADD CONSTRAINT audit_entry_actor_kind_check CHECK (actor_kind IN ('user', 'key', 'cli', 'engine', 'client')) NOT VALID;
