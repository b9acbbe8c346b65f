-- Who was erased, without saying who: what is left of a person is a keyed hash. The log that a restored backup reads lies beside
-- the files of opt-out lists, outside of any database (stentor.erasures.log); this is its mirror.

CREATE TABLE erasure (
    id            uuid PRIMARY KEY,
    brand_id      uuid NOT NULL,
    digest        bytea NOT NULL CHECK (length(digest) = 16),
    asked_by      text NOT NULL,
    erased_at     timestamptz NOT NULL,
    counts        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(counts) = 'object'),
    customer_id   uuid,
    swept_to      uuid,
    due_at        timestamptz,
    completed_at  timestamptz,
    CHECK ((due_at IS NULL) = (completed_at IS NOT NULL)),
    CHECK ((customer_id IS NULL) = (completed_at IS NOT NULL))
);
COMMENT ON TABLE erasure IS 'kind: local. Append-only: who was erased, by a keyed hash, when, by whom, and how much there was of them. Until their history is swept customer_id says whose it is: swept_to is the execution up to which that is done, due_at when it goes on.';
CREATE INDEX erasure_by_brand ON erasure (brand_id, id);
CREATE INDEX erasure_of_person ON erasure (brand_id, digest, id);
CREATE INDEX erasure_to_sweep ON erasure (due_at) WHERE due_at IS NOT NULL;

-- The events of one person: an erasure empties them, an export shows them.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX provider_event_of_person ON provider_event (part, customer_id);

-- When the log of erasures was read into a restored copy; until then it is not let go.
ALTER TABLE installation ADD COLUMN erasures_read_at timestamptz;
-- Whatever copies there are that were let go know of all erasures: there was none before this.
UPDATE installation SET erasures_read_at = statement_timestamp() WHERE restored_at IS NOT NULL AND paused_at IS NULL;
