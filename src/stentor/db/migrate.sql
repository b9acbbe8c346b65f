-- name: limit_time
SELECT
    set_config('lock_timeout', :lock_timeout, true),
    set_config('statement_timeout', :statement_timeout, true);

-- name: take_turn
-- Held until the transaction ends, so it works through a pooler; the number is the CRC-32 of "stentor.migrate".
SELECT pg_advisory_xact_lock(2903540803);

-- name: has_history
SELECT to_regclass('schema_migration') IS NOT NULL;

-- name: history
SELECT number, name, checksum, applied_at
FROM schema_migration
ORDER BY number;

-- name: record
INSERT INTO schema_migration (number, name, checksum, applied_at)
VALUES (:number, :name, :checksum, :now);
