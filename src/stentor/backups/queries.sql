-- name: take_your_time
-- The transaction is idle for as long as the programs work that it stands for.
SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('statement_timeout', '0', true)

-- name: export_snapshot
SELECT pg_export_snapshot()

-- name: secret_fingerprint
SELECT secret_fingerprint, created_at FROM installation

-- name: knows_all_erasures
-- Not so in a copy that was restored without the log of them and that nobody has answered for.
SELECT restored_at IS NULL OR erasures_read_at IS NOT NULL FROM installation

-- name: sizes
-- Of the database with its indexes, and of its tables without them.
SELECT :now, current_setting('server_version'), pg_database_size(current_database()),
    (SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace)

-- name: foreign_table
-- A table, view or sequence that somebody made here and that belongs to no extension.
SELECT c.oid::regclass::text
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
LIMIT 1

-- name: adopt_history
INSERT INTO schema_migration (number, name, checksum, applied_at)
SELECT m.number, m.name, m.checksum, m.applied_at
FROM unnest(:numbers::integer[], :names::text[], :checksums::text[], :applied_at::timestamptz[])
    AS m (number, name, checksum, applied_at)

-- name: arrive_paused
INSERT INTO installation (secret_fingerprint, created_at, backup_at, restored_at, paused_at)
VALUES (:fingerprint, :created_at, :backup_at, :now, :now)
