-- A/B tests of executions: what came of each arm, and the run of the winner for the rest.

-- name: places
-- How many people the cast has in each arm, held out and waiting.
SELECT arm, count(*)::integer
FROM cast_member
WHERE execution_id = :execution_id AND brand_id = :brand_id AND arm IS NOT NULL
GROUP BY arm

-- name: begin
INSERT INTO experiment (execution_id, brand_id, people, held_out, waiting, decide_at)
VALUES (:execution_id, :brand_id, :people, :held_out, :waiting, :now + :wait::interval)

-- name: find
-- A run that had ended when it was paused or cancelled says so in its steps alone.
SELECT x.execution_id, x.brand_id, x.people, x.held_out, x.waiting, x.decide_at, x.undecided, x.outcome, x.winner, x.run_id,
    x.decided_by, x.decided_at, e.publication_id, CASE WHEN p.cancelled_at IS NULL THEN e.state ELSE 'cancelled' END AS state,
    e.paused_at IS NOT NULL OR p.paused_at IS NOT NULL AS is_paused, e.is_test
FROM experiment x
JOIN execution e ON e.id = x.execution_id AND e.brand_id = x.brand_id
LEFT JOIN stepping p ON p.execution_id = x.execution_id AND p.brand_id = x.brand_id
WHERE x.execution_id = :execution_id AND x.brand_id = :brand_id

-- name: due
-- all brands: the keeper's look at experiments whose time has come. What is paused, or not planned yet, is left until it goes on.
SELECT x.execution_id, x.brand_id
FROM experiment x
JOIN execution e ON e.id = x.execution_id
LEFT JOIN stepping p ON p.execution_id = x.execution_id
WHERE x.decide_at <= :now AND x.outcome IS NULL AND e.state IN ('sending', 'ended') AND e.paused_at IS NULL
    AND p.paused_at IS NULL AND p.cancelled_at IS NULL
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY x.decide_at
LIMIT :limit

-- name: lock
-- Whoever decides holds it, so that it is decided once.
SELECT true FROM experiment WHERE execution_id = :execution_id AND brand_id = :brand_id FOR UPDATE

-- name: hold_execution
-- Nobody pauses or cancels it until the transaction ends: either came before, and is seen, or comes after.
SELECT true FROM execution WHERE id = :execution_id AND brand_id = :brand_id FOR SHARE

-- name: hold_steps
SELECT true FROM stepping WHERE execution_id = :execution_id AND brand_id = :brand_id FOR SHARE

-- name: numbers
-- Of the people of each arm: to how many any message was handed over, and of how many of those each thing was reported.
SELECT m.arm, count(s.customer_id)::integer, count(s.customer_id) FILTER (WHERE f.delivered)::integer,
    count(s.customer_id) FILTER (WHERE f.opened)::integer, count(s.customer_id) FILTER (WHERE f.clicked)::integer
FROM cast_member m
LEFT JOIN (
    SELECT DISTINCT s.part, s.customer_id
    FROM send s
    WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.state = 2
) s ON s.part = m.part AND s.customer_id = m.customer_id
LEFT JOIN (
    SELECT e.part, e.customer_id, bool_or(e.kind = 'delivered') AS delivered, bool_or(e.kind = 'opened') AS opened,
        bool_or(e.kind = 'clicked') AS clicked
    FROM delivery_event e
    WHERE e.execution_id = :execution_id AND e.brand_id = :brand_id AND e.kind IN ('delivered', 'opened', 'clicked')
    GROUP BY e.part, e.customer_id
) f ON f.part = m.part AND f.customer_id = m.customer_id
WHERE m.execution_id = :execution_id AND m.brand_id = :brand_id AND m.arm < 8
GROUP BY m.arm

-- name: ask
UPDATE experiment SET decide_at = NULL, undecided = :undecided
WHERE execution_id = :execution_id AND brand_id = :brand_id AND outcome IS NULL

-- name: decide
UPDATE experiment
SET decide_at = NULL, undecided = :undecided, outcome = :outcome, winner = :winner, run_id = :run_id, decided_by = :decided_by,
    decided_at = :now
WHERE execution_id = :execution_id AND brand_id = :brand_id AND outcome IS NULL

-- name: cancel_open
-- With its execution, also where nothing is left to cancel of that: somebody waits for the winner, or is to choose.
UPDATE experiment x
SET decide_at = NULL, outcome = 'cancelled', decided_by = :decided_by, decided_at = :now
FROM execution e
WHERE x.execution_id = :execution_id AND x.brand_id = :brand_id AND x.outcome IS NULL
    AND (x.decide_at IS NOT NULL OR x.undecided IS NOT NULL)
    AND e.id = x.execution_id AND e.brand_id = :brand_id AND e.state NOT IN ('cancelled', 'failed')

-- name: insert_run
-- As its parent ran, at once: nobody waits for their morning a second time, and what is quiet then is held by the guard. Its
-- deadline is as far away as its parent's was.
INSERT INTO execution (id, brand_id, publication_id, generator_id, topic_key, topic_id, campaign_id, audience, awaits_cast, context,
    lane, is_test, triggered_by, state, created_at, status_at, spread_s, per_hour, parent_id, deadline_at)
SELECT :id, e.brand_id, e.publication_id, e.generator_id, e.topic_key, e.topic_id, e.campaign_id, :audience, true, e.context,
    e.lane, e.is_test, :triggered_by, 'queued', :now, :now, e.spread_s, e.per_hour, e.id,
    :now + (e.deadline_at - coalesce(e.start_at, e.created_at))
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id

-- name: place_of
-- Where the experiment put a person; null where there is none, or where they are not in the cast.
SELECT arm
FROM cast_member
WHERE execution_id = :execution_id AND part = :part AND customer_id = :customer_id AND brand_id = :brand_id
