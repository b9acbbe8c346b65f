-- name: lock_installation
SELECT created_at, backup_at, restored_at, paused_at, fenced_at, resumed_at FROM installation FOR UPDATE

-- name: chunks_in_doubt
-- all brands: a restored copy is fenced as a whole.
-- Chunks with attempts that were open when the backup was taken, as their last owner held them.
SELECT c.execution_id, c.number, c.brand_id, c.sender_id, c.channel, c.lane, c.key_from, c.key_to, c.epoch, 0 AS next_wave,
    true AS has_open_waves, c.key_from AS cursor
FROM (SELECT DISTINCT execution_id, chunk FROM wave WHERE settled_at IS NULL) v
JOIN chunk c ON c.execution_id = v.execution_id AND c.number = v.chunk
ORDER BY c.brand_id, c.sender_id, c.channel, c.execution_id, c.number

-- name: end_leases
-- all brands: a restored copy is fenced as a whole.
-- A leap, not a step: whoever claimed after the backup in the installation that was copied counts from the same number.
UPDATE chunk SET epoch = epoch + :leap, lease_until = NULL, worker = '' WHERE done_at IS NULL

-- name: end_roles
-- all brands: roles belong to processes, not to brands.
DELETE FROM role_lease

-- name: end_sessions
DELETE FROM user_session

-- name: end_links
UPDATE sign_in_link SET used_at = :now WHERE used_at IS NULL

-- name: end_notices
-- all brands: a restored copy is fenced as a whole.
-- The installation that was copied may have delivered them. They can be replayed here.
UPDATE notice SET ended_at = :now, outcome = 'missed', lease_until = NULL WHERE ended_at IS NULL

-- name: disable_connectors
-- all brands: a restored copy is fenced as a whole.
-- The installation that was copied may be executing what their hubs tell. Somebody switches them on here, and off there. What is
-- registered at the hubs is that one's: nothing of it is taken away from here.
UPDATE connector
SET enabled = false, last_error = 'A backup was restored. Enable the connector here once the old installation is off.', failed_at = :now,
    listener_url = ''
WHERE enabled OR listener_url <> ''

-- name: end_letters
DELETE FROM account_letter

-- name: end_invitations
-- all brands: a restored copy is fenced as a whole.
UPDATE invitation SET withdrawn_at = :now WHERE accepted_at IS NULL AND withdrawn_at IS NULL
RETURNING id, organisation_id, brand_id, email, role

-- name: keep_revocations_anew
-- all brands: a restored copy is fenced as a whole.
UPDATE api_key SET kept_outside = false WHERE kept_outside

-- name: pause_under_way
-- all brands: a restored copy is fenced as a whole.
UPDATE execution
SET paused_at = coalesce(paused_at, :now), restored_at = :now
WHERE state IN ('queued', 'planning', 'sending')

-- name: pause_steps
-- all brands: a restored copy is fenced as a whole.
-- The installation that was copied may have started what falls due here.
UPDATE execution
SET restored_at = :now
WHERE id IN (SELECT execution_id FROM stepping WHERE ended_at IS NULL AND cancelled_at IS NULL)

-- name: hold_steps
-- all brands: a restored copy is fenced as a whole.
UPDATE stepping SET paused_at = coalesce(paused_at, :now) WHERE ended_at IS NULL AND cancelled_at IS NULL

-- name: ask_for_winners
-- all brands: a restored copy is fenced as a whole.
-- The installation that was copied may have decided them, and written to everybody who waited. Somebody has to choose here.
UPDATE experiment x
SET decide_at = NULL, undecided = 'restored'
FROM execution e
WHERE e.id = x.execution_id AND e.state NOT IN ('cancelled', 'failed') AND x.outcome IS NULL
    AND (x.decide_at IS NOT NULL OR x.undecided IS NOT NULL)

-- name: note_asking
-- all brands: a restored copy is fenced as a whole.
UPDATE execution SET restored_at = :now
WHERE id IN (SELECT execution_id FROM experiment WHERE outcome IS NULL AND undecided = 'restored')

-- name: leap_run_numbers
-- all brands: a restored copy is fenced as a whole.
-- Partners know numbers that were given after the backup: here they would mean other executions.
INSERT INTO partner_run_counter AS n (brand_id, last)
SELECT DISTINCT c.brand_id, :leap::integer FROM partner_channel c
ON CONFLICT (brand_id) DO UPDATE SET last = n.last + excluded.last

-- name: call_partners_told
-- all brands: a restored copy is fenced as a whole.
-- The installation that was copied has told of it, or will.
UPDATE partner_event SET told_at = :now WHERE told_at IS NULL

-- name: note_fence
UPDATE installation SET fenced_at = :now

-- name: knows_all_erasures
SELECT erasures_read_at IS NOT NULL FROM installation

-- name: note_unread_erasures
UPDATE installation SET erasures_read_at = :now WHERE erasures_read_at IS NULL

-- name: knows_all_revocations
SELECT revocations_read_at IS NOT NULL FROM installation

-- name: note_unread_revocations
UPDATE installation SET revocations_read_at = :now WHERE revocations_read_at IS NULL

-- name: resume
UPDATE installation SET paused_at = NULL, resumed_at = :now

-- name: pause_overdue
-- all brands: a restored copy is let go as a whole.
-- Runs that were to start while it was paused: the installation that was copied may have started them.
UPDATE execution
SET paused_at = :now, restored_at = :now
WHERE state = 'scheduled' AND paused_at IS NULL AND start_at <= (SELECT resumed_at FROM installation)

-- name: left_paused
-- all brands: a restored copy is let go as a whole.
SELECT count(*)
FROM execution e
WHERE e.restored_at IS NOT NULL
    AND (e.paused_at IS NOT NULL OR EXISTS (
        SELECT FROM stepping s WHERE s.execution_id = e.id AND s.paused_at IS NOT NULL AND s.ended_at IS NULL
    ) OR EXISTS (
        SELECT FROM experiment x WHERE x.execution_id = e.id AND x.outcome IS NULL AND x.undecided = 'restored'
    ))
