-- The tokens that partners get for their credentials, and what they are good for.

-- name: insert_token
-- all brands: whoever logs in says no brand; the credentials have one.
INSERT INTO hub_token (digest, client_id, stamp, created_at, expires_at)
VALUES (:digest, :client_id, :stamp, :now, :now + make_interval(secs => :lasts_s))

-- name: end_oldest
-- all brands: the tokens of one client, whose credentials are one brand's.
DELETE FROM hub_token
WHERE client_id = :client_id AND (
    expires_at <= :now
    OR digest IN (
        SELECT digest FROM hub_token WHERE client_id = :client_id ORDER BY created_at DESC, digest OFFSET :kept
    )
)

-- name: find
-- all brands: whoever calls says no brand; the token has one.
SELECT client_id, stamp, expires_at < :now + make_interval(secs => :lasts_s) AS is_behind
FROM hub_token
WHERE digest = :digest AND expires_at > :now

-- name: lengthen
-- all brands: a token by itself.
UPDATE hub_token
SET expires_at = :now + make_interval(secs => :lasts_s)
WHERE digest = :digest AND expires_at > :now

-- name: forget
-- all brands: tokens that are over, whoever had them.
DELETE FROM hub_token
WHERE digest IN (
    SELECT digest FROM hub_token WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
