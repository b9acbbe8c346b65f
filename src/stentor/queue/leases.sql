-- name: take_role
-- all brands: roles belong to processes, not to brands.
INSERT INTO role_lease AS r (role, holder, lease_until)
VALUES (:role, :holder, :now + :lease)
ON CONFLICT (role) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE r.holder = excluded.holder OR r.lease_until < :now
RETURNING role

-- name: leave_role
-- all brands: roles belong to processes, not to brands.
DELETE FROM role_lease WHERE role = :role AND holder = :holder
