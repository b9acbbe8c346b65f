-- name: insert_letter
INSERT INTO account_letter (id, kind, about, user_id, created_at, due_at) VALUES (:id, :kind, :about, :user_id, :now, :now)

-- name: claim_due
-- Whoever claims a letter has it to himself until it is due again, which is later with each try. The kinds take turns, so that
-- many letters of one, as codes for test recipients, keep no invitation and no link to a new password waiting.
UPDATE account_letter l SET tries = l.tries + 1, due_at = :now + make_interval(secs => 60 * power(2, l.tries))
FROM (
    SELECT waiting.id
    FROM (
        SELECT oldest.id, row_number() OVER (PARTITION BY kinds.kind ORDER BY oldest.due_at) AS turn
        FROM unnest(:kinds::text[]) AS kinds (kind)
        CROSS JOIN LATERAL (
            SELECT id, due_at FROM account_letter
            WHERE kind = kinds.kind AND due_at <= :now
            ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
        ) oldest
    ) waiting
    ORDER BY waiting.turn LIMIT :limit
) due
WHERE l.id = due.id
RETURNING l.id, l.kind, l.about, l.user_id, l.tries

-- name: delete_letter
DELETE FROM account_letter WHERE id = :id

-- name: invitation_letter
-- all brands: the letter says which invitation it is about.
SELECT i.email, o.name AS organisation, b.name AS brand, i.role, i.invited_by, i.expires_at
FROM invitation i
JOIN organisation o ON o.id = i.organisation_id
LEFT JOIN brand b ON b.id = i.brand_id
WHERE i.id = :id AND i.email IS NOT NULL AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL AND i.expires_at > :now

-- name: test_recipient_letter
-- all brands: the letter says which recipient it is about.
SELECT r.address, b.name
FROM test_recipient r
JOIN brand b ON b.id = r.brand_id
WHERE r.id = :id AND r.confirmed_at IS NULL

-- name: password_letter
SELECT u.email, l.expires_at
FROM sign_in_link l
JOIN account_user u ON u.id = l.user_id
WHERE l.id = :id AND l.used_at IS NULL AND l.expires_at > :now AND u.disabled_at IS NULL

-- name: listener_letter
-- all brands: the letter says which listener it is about.
SELECT u.email, b.name AS brand, h.name AS client, l.event, l.url, l.disabled_why AS why, l.disabled_at
FROM listener l
JOIN brand b ON b.id = l.brand_id
JOIN hub_client h ON h.id = l.client_id
JOIN membership m ON m.organisation_id = b.organisation_id AND m.brand_id IS NULL AND m.role = 'owner'
JOIN account_user u ON u.id = m.user_id
WHERE l.id = :id AND u.id = :user_id AND l.disabled_at IS NOT NULL AND u.disabled_at IS NULL
