-- How often callers may ask, counted for all processes; and who changed what.

-- What it holds is worth a minute: unlogged, a call that is counted waits for no disk, and after a crash all windows are new.
CREATE UNLOGGED TABLE rate_window (
    subject  text PRIMARY KEY CHECK (length(subject) BETWEEN 1 AND 100),
    at_most  integer NOT NULL CHECK (at_most > 0),
    taken    integer NOT NULL CHECK (taken BETWEEN 1 AND at_most),
    until    timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE rate_window IS 'kind: local. How many calls of a key, a user or a group were let through in the window that ends at until; a row per subject, used again for its next window.';

CREATE TABLE audit_entry (
    number           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL,
    organisation_id  uuid NOT NULL,
    brand_id         uuid,
    actor_kind       text NOT NULL CHECK (actor_kind IN ('user', 'key', 'cli', 'engine')),
    actor_id         text NOT NULL,
    actor_label      text NOT NULL,
    ip               text NOT NULL,
    action           text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    thing_kind       text GENERATED ALWAYS AS (split_part(action, '.', 1)) STORED,
    thing_id         text NOT NULL CHECK (length(thing_id) <= 255),
    before           jsonb,
    after            jsonb
);
COMMENT ON TABLE audit_entry IS 'kind: local. Who changed which configuration, when, from where, and what it was before and after; append-only. brand_id is null for what belongs to the organisation alone.';
CREATE INDEX audit_entry_by_brand ON audit_entry (brand_id, number);
CREATE INDEX audit_entry_by_thing ON audit_entry (brand_id, thing_kind, thing_id, number);
CREATE INDEX audit_entry_by_age ON audit_entry (at);

-- Nothing takes an entry back. Only what says in its own transaction from when on entries are kept may delete older ones.
CREATE FUNCTION keep_audit() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < nullif(current_setting('stentor.audit_kept_from', true), '')::timestamptz THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit log is only ever added to.' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_entry_is_kept BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER audit_is_kept BEFORE TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
