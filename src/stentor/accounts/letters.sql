-- name: insert_letter
-- all brands: a listener's letter is in the turn of its organisation, and a link to a new password in that of the one in which its user
-- has had a role longest.
-- Of a link of nobody's, or of a user without a role, in a turn of its own with all others of these.
INSERT INTO account_letter (id, kind, about, user_id, turn_of, created_at, due_at)
VALUES (:id, :kind, :about, :user_id, coalesce(
    :organisation_id::uuid,
    (SELECT b.organisation_id FROM listener h JOIN brand b ON b.id = h.brand_id WHERE h.id = :about),
    (
        SELECT m.organisation_id FROM sign_in_link s JOIN membership m ON m.user_id = s.user_id
        WHERE s.id = :about
        ORDER BY m.created_at, m.id
        LIMIT 1
    ),
    '00000000-0000-0000-0000-000000000000'
), :now, :now)

-- name: claim_due
-- Whoever claims a letter has it to himself until it is due again, which is later with each try. Organisations take turns, and
-- within each the kinds do: thousands of invitations or codes keep nobody's link to a new password waiting, neither their own
-- people's nor others'. Of those whose turn it is, who waits for few letters comes before who waits for many.
WITH RECURSIVE place (turn_of) AS (
    (SELECT turn_of FROM account_letter ORDER BY turn_of LIMIT 1)
    UNION ALL
    SELECT (SELECT n.turn_of FROM account_letter n WHERE n.turn_of > p.turn_of ORDER BY n.turn_of LIMIT 1)
    FROM place p
    WHERE p.turn_of IS NOT NULL
),
waiting AS (
    SELECT p.turn_of, oldest.id, oldest.due_at,
        row_number() OVER (PARTITION BY p.turn_of, kinds.kind ORDER BY oldest.due_at, oldest.id) AS of_kind
    FROM place p
    CROSS JOIN unnest(:kinds::text[]) AS kinds (kind)
    CROSS JOIN LATERAL (
        SELECT o.id, o.due_at FROM account_letter o
        WHERE o.turn_of = p.turn_of AND o.kind = kinds.kind AND o.due_at <= :now
        ORDER BY o.due_at
        LIMIT :limit
    ) oldest
),
ordered AS (
    SELECT w.id, w.due_at, row_number() OVER (PARTITION BY w.turn_of ORDER BY w.of_kind, w.due_at, w.id) AS turn,
        count(*) OVER (PARTITION BY w.turn_of) AS letters
    FROM waiting w
)
UPDATE account_letter l SET tries = l.tries + 1, due_at = :now + make_interval(secs => 60 * power(2, l.tries))
FROM (
    SELECT c.id
    FROM account_letter c
    WHERE c.id IN (SELECT o.id FROM ordered o ORDER BY o.turn, o.letters, o.due_at LIMIT :limit) AND c.due_at <= :now
    FOR UPDATE SKIP LOCKED
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
