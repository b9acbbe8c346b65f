-- What partners execute: numbers, and what is told of them.

-- name: set_deadlines
-- What nobody pulls has to end some time: so long after the last of it is due.
UPDATE execution e
SET deadline_at = make_interval(secs => :pull_within_s) + greatest(:now, (
    SELECT max(c.due_at) FROM chunk c WHERE c.execution_id = e.id AND c.brand_id = :brand_id
))
WHERE e.id = ANY(:execution_ids) AND e.brand_id = :brand_id AND e.deadline_at IS NULL

-- name: take_numbers
-- The last of as many numbers as are wanted. A transaction that comes to nothing gives its numbers back.
INSERT INTO partner_run_counter AS n (brand_id, last)
VALUES (:brand_id, :wanted)
ON CONFLICT (brand_id) DO UPDATE SET last = n.last + excluded.last
RETURNING n.last

-- name: give_numbers
-- What has to be cleared first goes out by no channel until then.
INSERT INTO partner_run (brand_id, number, execution_id, published_at, channels, held_channels, required_by)
SELECT :brand_id, r.number, r.execution_id, :now,
    CASE WHEN :clearance_s::integer IS NULL THEN :channels::integer[] ELSE '{}' END,
    CASE WHEN :clearance_s::integer IS NULL THEN '{}' ELSE :channels::integer[] END,
    :now + make_interval(secs => :clearance_s::integer)
FROM unnest(:execution_ids::uuid[], :numbers::integer[]) AS r (execution_id, number)

-- name: tell_published
INSERT INTO partner_event (id, brand_id, execution_id, kind, at)
SELECT t.id, :brand_id, t.execution_id, 'published', :now
FROM unnest(:ids::uuid[], :execution_ids::uuid[]) AS t (id, execution_id)

-- name: tell_cancelled
INSERT INTO partner_event (id, brand_id, execution_id, kind, at)
SELECT :id, r.brand_id, r.execution_id, 'cancelled', :now
FROM partner_run r
WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id

-- name: run_of_number
SELECT number, execution_id, published_at, channels FROM partner_run WHERE brand_id = :brand_id AND number = :number

-- name: runs_of
SELECT number, execution_id, published_at, channels
FROM partner_run
WHERE execution_id = ANY(:execution_ids::uuid[]) AND brand_id = :brand_id
