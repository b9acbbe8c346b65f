-- The gate to the chunks of an execution that wait for a pull: who hands pages over goes through it together, who ends them, skips some
-- of their people or cancels goes alone. Rows that somebody shares at every moment are never free for who wants them alone; who waits
-- for a gate is passed by nobody.

-- name: pass_together
-- all brands: it touches no row.
SELECT pg_advisory_xact_lock_shared(hashtextextended('pulled ' || :execution_id::uuid, 0))

-- name: pass_alone
-- all brands: it touches no row.
SELECT pg_advisory_xact_lock(hashtextextended('pulled ' || :execution_id::uuid, 0))
