-- What was sent to people who are gone: emptied page by page, and once more when nothing of theirs is on the wire.

-- name: claim
-- all brands: the keeper's; each row has its brand.
-- The erasures that have waited longest, with those of their brand that stand where they do.
SELECT e.id, e.brand_id, e.customer_id, e.erased_at, e.swept_to, e.counts, e.erased_at + :rest::interval <= :now AS may_end
FROM erasure e
JOIN (
    SELECT brand_id, swept_to FROM erasure WHERE due_at <= :now ORDER BY due_at LIMIT 1
) f ON f.brand_id = e.brand_id AND f.swept_to IS NOT DISTINCT FROM e.swept_to
WHERE e.due_at <= :now
ORDER BY e.id
LIMIT :limit
FOR UPDATE OF e SKIP LOCKED

-- name: made_anew
-- Who of them is there again, and since when: of that person nothing is emptied.
SELECT c.customer_id, c.created_at
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id
WHERE c.brand_id = :brand_id

-- name: drop_messages
-- Of the sandbox. A brand's inbox has a size, and is read whole.
DELETE FROM sandbox_message m
USING unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE m.part = n.part AND m.customer_id = n.customer_id AND m.brand_id = :brand_id AND m.at < n.until
RETURNING m.customer_id

-- name: drop_shown
-- Test sends that were made of these people's fields, and went to others.
DELETE FROM sandbox_message m
USING send_context a, unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE a.shown_as = n.customer_id AND a.brand_id = :brand_id
    AND m.execution_id = a.execution_id AND m.part = a.part AND m.customer_id = a.customer_id AND m.brand_id = :brand_id
    AND m.at < n.until
RETURNING a.shown_as

-- name: drop_skeletons
-- What only their messages had in common. A skeleton is marked as used well before its message is stored.
DELETE FROM sandbox_skeleton s
WHERE s.brand_id = :brand_id AND s.used_at < :now - interval '2 minutes'
    AND NOT EXISTS (SELECT FROM sandbox_message m WHERE m.brand_id = :brand_id AND m.skeleton_id = s.skeleton_id)

-- name: drop_contacts
DELETE FROM contact k
USING unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE k.part = n.part AND k.customer_id = n.customer_id AND k.brand_id = :brand_id AND k.at < n.until
RETURNING k.customer_id

-- name: drop_told
-- Of events that callers told of while the person was being erased.
DELETE FROM customer_event t
USING unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE t.part = n.part AND t.customer_id = n.customer_id AND t.brand_id = :brand_id AND t.at < n.until
RETURNING t.customer_id

-- name: drop_connector_people
-- Whom hubs named for whom this installation sends. They are not told of who is gone.
DELETE FROM connector_person m
USING unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE m.part = n.part AND m.customer_id = n.customer_id AND m.brand_id = :brand_id AND m.pulled_at < n.until
RETURNING m.customer_id

-- name: drop_connector_refused
-- Whom they named and no customer was made of.
DELETE FROM connector_refused m
USING unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE m.part = n.part AND m.customer_id = n.customer_id AND m.brand_id = :brand_id AND m.pulled_at < n.until
RETURNING m.customer_id

-- name: drop_tags
-- That somebody gave to the person while they were being erased.
DELETE FROM customer_tag t
USING unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE t.part = n.part AND t.customer_id = n.customer_id AND t.brand_id = :brand_id AND t.tagged_at < n.until
RETURNING t.customer_id

-- name: blank_reports
-- What providers said. Of what is not applied yet the digest stays till it is: it is what gets the address suppressed.
UPDATE provider_event p
SET answer = '', digest = CASE WHEN p.applied_at IS NULL THEN p.digest END
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE p.part = n.part AND p.customer_id = n.customer_id AND p.brand_id = :brand_id AND p.at < n.until
    AND (p.answer <> '' OR p.applied_at IS NOT NULL AND p.digest IS NOT NULL)
RETURNING p.customer_id

-- name: named_in
SELECT DISTINCT a.execution_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN send_context a ON a.part = n.part AND a.customer_id = n.customer_id
WHERE a.brand_id = :brand_id AND a.context IS NULL

-- name: left_of
-- Those of these executions that somebody is left of whom their calls named, and who was there then.
SELECT DISTINCT a.execution_id
FROM send_context a
JOIN customer c ON c.part = a.part AND c.customer_id = a.customer_id
WHERE a.execution_id = ANY(:execution_ids) AND a.brand_id = :brand_id AND c.brand_id = :brand_id
    AND c.created_at <= :erased_at::timestamptz

-- name: blank_executions
-- What a call said of all its recipients, none of whom is there any more.
UPDATE execution SET context = '{}'
WHERE id = ANY(:execution_ids) AND brand_id = :brand_id AND recipients > 0 AND context <> '{}'

-- name: blank_events
-- Each is one look-up by key, for each execution and person.
UPDATE delivery_event e
SET answer = ''
FROM unnest(:execution_ids::uuid[]) AS x (execution_id)
CROSS JOIN unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE e.execution_id = x.execution_id AND e.part = n.part AND e.customer_id = n.customer_id AND e.brand_id = :brand_id
    AND e.at < n.until AND e.answer <> ''
RETURNING e.customer_id

-- name: pulled_lists
-- Lists that services pulled of these executions, and whose rows are there still.
SELECT execution_id, id, started_at
FROM pull
WHERE execution_id = ANY(:execution_ids) AND brand_id = :brand_id AND emptied_at IS NULL

-- name: blank_pulled
-- By which address somebody was guarded. Rows have no index by person: each of the lists is read once, and is there for days.
UPDATE pull_row r
SET digest = NULL
FROM unnest(:lists_of::uuid[], :lists::uuid[], :starts::timestamptz[]) AS x (execution_id, pull_id, started_at)
CROSS JOIN unnest(:parts::smallint[], :customer_ids::uuid[], :untils::timestamptz[]) AS n (part, customer_id, until)
WHERE r.execution_id = x.execution_id AND r.pull_id = x.pull_id AND r.part = n.part AND r.customer_id = n.customer_id
    AND r.brand_id = :brand_id AND x.started_at < n.until AND r.digest IS NOT NULL

-- name: is_on_the_wire
-- Whether a wave of the brand is open that may have read these people before they were gone.
SELECT EXISTS (
    SELECT FROM wave WHERE settled_at IS NULL AND brand_id = :brand_id AND opened_at < :until::timestamptz
)

-- name: go_on
UPDATE erasure e
SET swept_to = :swept_to, counts = n.counts
FROM unnest(:ids::uuid[], :counts::jsonb[]) AS n (id, counts)
WHERE e.id = n.id AND e.brand_id = :brand_id

-- name: again_later
UPDATE erasure
SET swept_to = NULL, due_at = greatest(erased_at + :rest::interval, :now + :pause::interval)
WHERE id = ANY(:ids) AND brand_id = :brand_id

-- name: complete
UPDATE erasure
SET swept_to = NULL, due_at = NULL, completed_at = :now, customer_id = NULL
WHERE id = ANY(:ids) AND brand_id = :brand_id

-- name: waiting
-- all brands: a command that erases waits for what it asked for, and a doctor for all.
SELECT count(*) FROM erasure WHERE due_at IS NOT NULL
