-- Campaigns of hubs that are executed here.

-- name: notice
-- Once for each campaign and channel, whatever is notified twice.
INSERT INTO connector_run (id, connector_id, brand_id, campaign_number, channel_number, state, noticed_at, due_at)
SELECT n.id, :connector_id, :brand_id, :campaign, n.channel, 'noticed', :now, :now
FROM unnest(:ids::uuid[], :channels::integer[]) AS n (id, channel)
ON CONFLICT (connector_id, campaign_number, channel_number) DO NOTHING

-- name: cancel
-- It holds for what was not noticed yet, too: the hub told of it before, whoever lost that.
UPDATE connector_run
SET cancelled_at = :now, due_at = :now
WHERE connector_id = :connector_id AND brand_id = :brand_id AND campaign_number = :campaign AND cancelled_at IS NULL
    AND (:channel::integer IS NULL OR channel_number = :channel) AND state <> 'closed'

-- name: anything_due
-- all brands: the connector's role serves all of them.
SELECT EXISTS (
    SELECT FROM connector_run WHERE state IN ('noticed', 'pulled', 'running') AND due_at <= :now
)

-- name: claim
-- all brands: the connector's role serves all of them.
-- The run that has waited longest is the caller's for the lease; a copy that was not let go has none.
UPDATE connector_run r
SET due_at = :now + :lease::interval
FROM connector c
WHERE r.id = (
        SELECT o.id
        FROM connector_run o
        JOIN connector k ON k.id = o.connector_id AND k.brand_id = o.brand_id AND k.enabled
        WHERE o.state IN ('noticed', 'pulled', 'running') AND o.due_at <= :now
            AND NOT EXISTS (SELECT FROM installation i WHERE i.paused_at IS NOT NULL)
        ORDER BY o.due_at
        LIMIT 1
        FOR UPDATE OF o SKIP LOCKED
    )
    AND c.id = r.connector_id
RETURNING r.id, r.connector_id, r.brand_id, r.campaign_number, r.channel_number, r.state, r.rows_read, r.failures, r.noticed_at,
    r.cancelled_at, r.pulled_at, r.pushed_at, r.push_until, r.is_settled, r.heard_to, r.is_deaf

-- name: renew
-- Not when its next state has begun: that one's next step is due when it says.
UPDATE connector_run SET due_at = :now + :lease::interval WHERE id = :id AND brand_id = :brand_id AND state = :state

-- name: lock_run
SELECT state, rows_read, cancelled_at FROM connector_run WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: note_page
UPDATE connector_run
SET rows_read = rows_read + :rows, people = people + :people, refused = refused + :refused, failures = 0, last_error = '',
    due_at = :now + :lease::interval
WHERE id = :id AND brand_id = :brand_id

-- name: note_pulled
UPDATE connector_run
SET state = CASE WHEN rows_read = 0 THEN 'closed' ELSE 'pulled' END, pulled_at = :now, due_at = :now, failures = 0, last_error = ''
WHERE id = :id AND brand_id = :brand_id

-- name: note_started
UPDATE connector_run
SET state = 'running', started_at = :now, due_at = :now + :tick::interval, failures = 0,
    push_until = greatest(:now, (SELECT max(g.start_at) FROM connector_group g WHERE g.run_id = :id AND g.brand_id = :brand_id))
        + :window::interval
WHERE id = :id AND brand_id = :brand_id

-- name: note_pushed
UPDATE connector_run
SET pushed_at = :now, is_settled = is_settled OR :settled, failures = 0, last_error = '',
    state = CASE WHEN :now >= push_until THEN 'closed' ELSE state END, due_at = :now + :tick::interval
WHERE id = :id AND brand_id = :brand_id

-- name: rest
UPDATE connector_run SET due_at = :now + :tick::interval WHERE id = :id AND brand_id = :brand_id

-- name: put_off
UPDATE connector_run
SET failures = failures + 1, last_error = :error, due_at = :now + :wait::interval
WHERE id = :id AND brand_id = :brand_id

-- name: give_up
UPDATE connector_run SET state = 'failed', last_error = :error WHERE id = :id AND brand_id = :brand_id

-- name: page
SELECT id, connector_id, campaign_number, channel_number, state, noticed_at, cancelled_at, pulled_at, started_at, pushed_at,
    push_until, rows_read, people, refused, revoked, last_error
FROM connector_run
WHERE brand_id = :brand_id AND connector_id = :connector_id AND (:before::uuid IS NULL OR id < :before::uuid)
ORDER BY id DESC
LIMIT :limit

-- name: executions_of
SELECT run_id, execution_id
FROM connector_group
WHERE brand_id = :brand_id AND run_id = ANY(:run_ids::uuid[]) AND execution_id IS NOT NULL
ORDER BY run_id, number

-- name: groups
SELECT number, template_number, start_at, tag_id, people, execution_id, problem
FROM connector_group
WHERE run_id = :run_id AND brand_id = :brand_id
ORDER BY number

-- name: insert_group
INSERT INTO connector_group (run_id, number, brand_id, template_number, start_at, tag_id)
VALUES (:run_id, :number, :brand_id, :template_number, :start_at, :tag_id)

-- name: count_in_group
UPDATE connector_group SET people = people + :people WHERE run_id = :run_id AND brand_id = :brand_id AND number = :number

-- name: note_execution
UPDATE connector_group
SET execution_id = :execution_id, problem = :problem
WHERE run_id = :run_id AND brand_id = :brand_id AND number = :number

-- name: known_people
SELECT p.customer_id
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN connector_person p ON p.run_id = :run_id AND p.part = n.part AND p.customer_id = n.customer_id
WHERE p.brand_id = :brand_id

-- name: insert_people
INSERT INTO connector_person (run_id, part, customer_id, brand_id, external_id, group_number, pulled_at)
SELECT :run_id, n.part, n.customer_id, :brand_id, n.external_id, :group_number, :now
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :external_ids::text[]) AS n (part, customer_id, external_id)

-- name: insert_refused
-- A page that is kept twice names them once.
INSERT INTO connector_refused (run_id, customer_id, brand_id, pulled_at, row_number, template_number, part, is_told, external_id, why)
SELECT :run_id, n.customer_id, :brand_id, :now, n.row_number, n.template_number, n.part, n.is_told, n.external_id, n.why
FROM unnest(
        :row_numbers::integer[], :template_numbers::integer[], :parts::smallint[], :customer_ids::uuid[], :are_told::boolean[],
        :external_ids::text[], :whys::text[]
    ) AS n (row_number, template_number, part, customer_id, is_told, external_id, why)
ON CONFLICT (run_id, row_number, part, customer_id) DO NOTHING

-- name: refused_page
SELECT row_number, external_id, template_number, why, is_told
FROM connector_refused
WHERE run_id = :run_id AND brand_id = :brand_id AND row_number > :after
ORDER BY row_number
LIMIT :limit

-- name: connector_of
SELECT connector_id FROM connector_run WHERE id = :id AND brand_id = :brand_id

-- name: time_zones
-- Where these people are, as far as that was said before.
SELECT c.customer_id, c.time_zone
FROM unnest(:parts::smallint[], :customer_ids::uuid[]) AS n (part, customer_id)
JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id
WHERE c.brand_id = :brand_id AND c.time_zone IS NOT NULL

-- name: template_of
SELECT template_id FROM connector_template
WHERE connector_id = :connector_id AND brand_id = :brand_id AND channel_number = :channel AND number = :number

-- name: over
-- all brands: the keeper's sweep over runs whose figures are told.
SELECT id, brand_id
FROM connector_run
WHERE state IN ('closed', 'failed') AND noticed_at < :now - make_interval(days => :days)
ORDER BY noticed_at
LIMIT :limit

-- name: forget_people
DELETE FROM connector_person
WHERE (run_id, part, customer_id) IN (
    SELECT p.run_id, p.part, p.customer_id
    FROM connector_person p
    WHERE p.run_id = :run_id AND p.brand_id = :brand_id
    LIMIT :limit
) AND brand_id = :brand_id

-- name: forget_refused
DELETE FROM connector_refused
WHERE (run_id, row_number, part, customer_id) IN (
    SELECT p.run_id, p.row_number, p.part, p.customer_id
    FROM connector_refused p
    WHERE p.run_id = :run_id AND p.brand_id = :brand_id
    LIMIT :limit
) AND brand_id = :brand_id

-- name: forget_run
DELETE FROM connector_run WHERE id = :run_id AND brand_id = :brand_id
