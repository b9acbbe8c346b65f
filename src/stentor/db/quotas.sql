-- name: hold
-- Of those who make one of these for an owner at the same moment, each counts what the ones before it made.
SELECT pg_advisory_xact_lock(hashtextextended('quota ' || :things, hashtextextended((:owner_id)::uuid::text, 0)))
