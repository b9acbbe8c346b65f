-- name: insert_session
INSERT INTO user_session (digest, id, user_id, stage, method, ip, browser, created_at, seen_at, ends_at)
VALUES (:digest, :id, :user_id, :stage, :method, :ip, :browser, :now, :now, :now + make_interval(secs => :lasts_s))
RETURNING ends_at

-- name: find_session
-- A session that nobody used for too long has ended, whenever its row is cleared away.
SELECT s.stage, s.id, s.method, s.ip, s.browser, s.created_at, s.seen_at, s.ends_at,
    u.id, u.email, u.name, u.password IS NOT NULL, u.created_at, u.disabled_at
FROM user_session s
JOIN account_user u ON u.id = s.user_id
WHERE s.digest = :digest AND s.ends_at > :now AND s.seen_at > :now - make_interval(secs => :idle_s)
    AND u.disabled_at IS NULL

-- name: touch_session
UPDATE user_session SET seen_at = date_trunc('minute', :now)
WHERE digest = :digest AND seen_at < date_trunc('minute', :now)

-- name: take_half_session
-- Whoever is faster has it; one that ended meanwhile, or is whole, is nobody's.
DELETE FROM user_session
WHERE digest = :digest AND user_id = :user_id AND stage = 'first_factor' AND ends_at > :now
RETURNING method

-- name: rotate_session
UPDATE user_session SET digest = :fresh, seen_at = :now
WHERE digest = :digest AND ends_at > :now
RETURNING user_id, ends_at

-- name: delete_session
DELETE FROM user_session WHERE digest = :digest

-- name: end_session
DELETE FROM user_session WHERE id = :id AND user_id = :user_id

-- name: end_sessions
-- All of a user's, but the one that is kept.
DELETE FROM user_session WHERE user_id = :user_id AND id IS DISTINCT FROM :kept::uuid

-- name: end_oldest_sessions
-- Of one stage: whoever knows a password alone must not push out who signed in with the second factor.
DELETE FROM user_session
WHERE digest IN (
    SELECT digest FROM user_session WHERE user_id = :user_id AND stage = :stage ORDER BY seen_at DESC, digest OFFSET :kept
)

-- name: sessions
SELECT id, method, ip, browser, created_at, seen_at, ends_at
FROM user_session
WHERE user_id = :user_id AND stage = 'whole' AND ends_at > :now AND seen_at > :now - make_interval(secs => :idle_s)
ORDER BY seen_at DESC, id

-- name: forget_sessions
DELETE FROM user_session WHERE ends_at < :now OR seen_at < :now - make_interval(secs => :idle_s)

-- name: insert_link
-- In one statement, whether there is such an account or not, so that both take the same time.
INSERT INTO sign_in_link (id, user_id, created_at, expires_at, is_mailed)
SELECT :id, u.id, :now, :now + make_interval(secs => :lasts_s), :is_mailed
FROM account_user u
WHERE u.email_key = :email_key AND u.disabled_at IS NULL

-- name: find_link
SELECT u.id, u.email, u.name, u.password IS NOT NULL AS has_password, u.created_at, u.disabled_at
FROM sign_in_link l
JOIN account_user u ON u.id = l.user_id
WHERE l.id = :id AND l.used_at IS NULL AND l.expires_at > :now AND u.disabled_at IS NULL

-- name: use_link
UPDATE sign_in_link SET used_at = :now WHERE id = :id AND used_at IS NULL AND expires_at > :now RETURNING is_mailed

-- name: end_links
UPDATE sign_in_link SET used_at = :now WHERE user_id = :user_id AND used_at IS NULL

-- name: forget_links
DELETE FROM sign_in_link WHERE expires_at < :now

-- name: take_attempt
INSERT INTO attempt_bucket AS b (subject, tokens, refilled_at)
VALUES (:subject, :burst::double precision - 1, :now)
ON CONFLICT (subject) DO UPDATE
SET tokens = least(:burst::double precision, b.tokens + extract(epoch FROM :now - b.refilled_at) * :per_s::double precision) - 1,
    refilled_at = :now
WHERE least(:burst::double precision, b.tokens + extract(epoch FROM :now - b.refilled_at) * :per_s::double precision) >= 1
RETURNING tokens

-- name: give_attempt_back
UPDATE attempt_bucket SET tokens = least(:burst::double precision, tokens + 1) WHERE subject = :subject

-- name: forget_attempts
DELETE FROM attempt_bucket WHERE refilled_at < :now - interval '1 day'

-- name: find_factor
SELECT sealed, confirmed_at IS NOT NULL FROM second_factor WHERE user_id = :user_id

-- name: find_begun_factor
-- In the session in which it was begun alone: another one could be a thief's, and would be shown the secret.
SELECT sealed FROM second_factor
WHERE user_id = :user_id AND begun_in = :begun_in AND confirmed_at IS NULL AND made_at > :now - make_interval(secs => :lasts_s)

-- name: begin_factor
-- A confirmed one stays until it is taken off: else a stolen session could put its own in its place.
INSERT INTO second_factor AS f (user_id, sealed, made_at, last_step, recovery, begun_in)
VALUES (:user_id, :sealed, :now, 0, '{}', :begun_in)
ON CONFLICT (user_id) DO UPDATE
SET sealed = excluded.sealed, made_at = excluded.made_at, last_step = 0, begun_in = excluded.begun_in
WHERE f.confirmed_at IS NULL

-- name: confirm_factor
UPDATE second_factor SET confirmed_at = :now, last_step = :step, recovery = :recovery
WHERE user_id = :user_id AND confirmed_at IS NULL AND begun_in = :begun_in AND sealed = :sealed

-- name: use_step
-- A code that was used, and any before it, is worth nothing: who looked over a shoulder comes too late.
UPDATE second_factor SET last_step = :step WHERE user_id = :user_id AND confirmed_at IS NOT NULL AND last_step < :step

-- name: use_recovery
UPDATE second_factor SET recovery = array_remove(recovery, :digest)
WHERE user_id = :user_id AND confirmed_at IS NOT NULL AND :digest = ANY (recovery)

-- name: count_recovery
SELECT cardinality(recovery) FROM second_factor WHERE user_id = :user_id AND confirmed_at IS NOT NULL

-- name: delete_factor
DELETE FROM second_factor WHERE user_id = :user_id
