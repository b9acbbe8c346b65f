-- The runner's own table, made before the first migration; it is the one thing that no numbered file creates.
CREATE TABLE IF NOT EXISTS schema_migration (
    number integer PRIMARY KEY CHECK (number > 0),
    name text NOT NULL,
    checksum text NOT NULL CHECK (length(checksum) = 64),
    applied_at timestamptz NOT NULL
);

COMMENT ON TABLE schema_migration IS 'kind: local. Which migrations ran, when, and the SHA-256 of their text.';
