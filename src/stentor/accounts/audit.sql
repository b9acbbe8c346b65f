-- The audit log: entries are added in the transaction of the change that they tell of, and read.

-- name: add_of_brand
INSERT INTO audit_entry (at, organisation_id, brand_id, actor_kind, actor_id, actor_label, ip, action, thing_id, before, after)
SELECT :now, b.organisation_id, b.id, :actor_kind, :actor_id, :actor_label, :ip, :action, :thing_id, :before, :after
FROM brand b
WHERE b.id = :brand_id

-- name: add_of_organisation
-- all brands: it tells of the organisation alone.
INSERT INTO audit_entry (at, organisation_id, actor_kind, actor_id, actor_label, ip, action, thing_id, before, after)
VALUES (:now, :organisation_id, :actor_kind, :actor_id, :actor_label, :ip, :action, :thing_id, :before, :after)

-- name: page_of_brand
SELECT number, at, brand_id, actor_kind, actor_id, actor_label, ip, action, thing_kind, thing_id, before, after
FROM audit_entry
WHERE brand_id = :brand_id AND number < coalesce(:before_number::bigint, 9223372036854775807)
    AND (:since::timestamptz IS NULL OR at >= :since::timestamptz) AND (:until::timestamptz IS NULL OR at < :until::timestamptz)
    AND (:actor_kind::text IS NULL OR actor_kind = :actor_kind::text) AND (:actor_id::text IS NULL OR actor_id = :actor_id::text)
    AND (:thing_kind::text IS NULL OR thing_kind = :thing_kind::text) AND (:thing_id::text IS NULL OR thing_id = :thing_id::text)
ORDER BY number DESC
LIMIT :limit

-- name: page_of_organisation
-- all brands: whoever sees to the organisation sees all of it.
SELECT number, at, brand_id, actor_kind, actor_id, actor_label, ip, action, thing_kind, thing_id, before, after
FROM audit_entry
WHERE organisation_id = :organisation_id AND number < coalesce(:before_number::bigint, 9223372036854775807)
    AND (:since::timestamptz IS NULL OR at >= :since::timestamptz) AND (:until::timestamptz IS NULL OR at < :until::timestamptz)
    AND (:actor_kind::text IS NULL OR actor_kind = :actor_kind::text) AND (:actor_id::text IS NULL OR actor_id = :actor_id::text)
    AND (:thing_kind::text IS NULL OR thing_kind = :thing_kind::text) AND (:thing_id::text IS NULL OR thing_id = :thing_id::text)
ORDER BY number DESC
LIMIT :limit

-- name: entries_of_brand
SELECT number, at, brand_id, actor_kind, actor_id, actor_label, ip, action, thing_kind, thing_id, before, after
FROM audit_entry
WHERE brand_id = :brand_id
    AND (:since::timestamptz IS NULL OR at >= :since::timestamptz) AND (:until::timestamptz IS NULL OR at < :until::timestamptz)
    AND (:actor_kind::text IS NULL OR actor_kind = :actor_kind::text) AND (:actor_id::text IS NULL OR actor_id = :actor_id::text)
    AND (:thing_kind::text IS NULL OR thing_kind = :thing_kind::text) AND (:thing_id::text IS NULL OR thing_id = :thing_id::text)
ORDER BY number

-- name: entries_of_organisation
-- all brands: whoever sees to the organisation sees all of it.
SELECT number, at, brand_id, actor_kind, actor_id, actor_label, ip, action, thing_kind, thing_id, before, after
FROM audit_entry
WHERE organisation_id = :organisation_id
    AND (:since::timestamptz IS NULL OR at >= :since::timestamptz) AND (:until::timestamptz IS NULL OR at < :until::timestamptz)
    AND (:actor_kind::text IS NULL OR actor_kind = :actor_kind::text) AND (:actor_id::text IS NULL OR actor_id = :actor_id::text)
    AND (:thing_kind::text IS NULL OR thing_kind = :thing_kind::text) AND (:thing_id::text IS NULL OR thing_id = :thing_id::text)
ORDER BY number

-- name: entries
-- all brands: whoever runs a command on the installation's machine sees all of it.
SELECT number, at, brand_id, actor_kind, actor_id, actor_label, ip, action, thing_kind, thing_id, before, after
FROM audit_entry
WHERE (:since::timestamptz IS NULL OR at >= :since::timestamptz) AND (:until::timestamptz IS NULL OR at < :until::timestamptz)
    AND (:actor_kind::text IS NULL OR actor_kind = :actor_kind::text) AND (:actor_id::text IS NULL OR actor_id = :actor_id::text)
    AND (:thing_kind::text IS NULL OR thing_kind = :thing_kind::text) AND (:thing_id::text IS NULL OR thing_id = :thing_id::text)
ORDER BY number

-- name: keep_from
-- What the trigger that keeps the log lets go, in this transaction alone.
SELECT set_config('stentor.audit_kept_from', (:now - make_interval(days => :days))::text, true)

-- name: forget_of_brand
-- Those before the brand's first entry that stays: the others need not be looked through.
DELETE FROM audit_entry
WHERE number IN (
    SELECT number FROM audit_entry
    WHERE brand_id = :brand_id AND at < :now - make_interval(days => :days) AND number < coalesce(
        (
            SELECT number FROM audit_entry
            WHERE brand_id = :brand_id AND at >= :now - make_interval(days => :days)
            ORDER BY number
            LIMIT 1
        ),
        9223372036854775807
    )
    ORDER BY number
    LIMIT :limit
) AND at < current_setting('stentor.audit_kept_from')::timestamptz AND brand_id = :brand_id

-- name: forget
-- all brands: a sweep by age.
DELETE FROM audit_entry
WHERE number IN (
    SELECT number FROM audit_entry WHERE at < :now - make_interval(days => :days) ORDER BY at LIMIT :limit
) AND at < current_setting('stentor.audit_kept_from')::timestamptz
