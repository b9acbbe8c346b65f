-- name: anything_due
-- all brands: a worker looks for whatever is due, whoever it belongs to.
-- One look without a transaction and without a lock, twenty times a second: an idle worker that claimed nothing as often took
-- 12 % of a processor, and takes 6 with it. What is parked may be claimable again, which is for unpark_chunks to find out.
SELECT EXISTS (
    SELECT FROM unnest(:lanes::smallint[], :floors::timestamptz[]) AS l (lane, floor)
    CROSS JOIN LATERAL (
        SELECT FROM chunk c
        WHERE c.done_at IS NULL AND NOT c.parked AND c.lane = l.lane AND c.due_at <= :now
            AND c.due_at >= least(l.floor, :now - make_interval(secs => :lag_s))
            AND (c.lease_until IS NULL OR c.lease_until < :now)
            AND c.sender_id <> ALL (CASE WHEN l.lane = 2 THEN :busy_in_bulk::uuid[] ELSE :busy::uuid[] END)
        LIMIT 1
    ) c
) OR EXISTS (SELECT FROM chunk c WHERE c.done_at IS NULL AND c.parked AND NOT c.pulled)

-- name: claim_chunks
-- all brands: a worker takes whatever is due first in its lane, whoever it belongs to.
-- Takes the first due chunk and, with it, due chunks of the same sender, as long as they stay small together: dozens of
-- small executions share one wave; of one lane, because the lane says what becomes of sends in doubt. A chunk whose lease ran
-- out is claimed like any other; `unsettled` tells its new owner of waves that nobody settled. What was cancelled needs no
-- sender, and after a deadline no pause holds: the people are skipped, whether their sender is paused or gone.
-- A chunk that a pause holds up is parked where it is met, out of the index that is read here: ten paused executions of a
-- million people made each claim take 40 ms.
-- A restored copy that nobody has let go claims nothing. The lanes come in their order, each from its floor on.
-- What a worker was lost with is taken by itself, and only :with_suspects. Of senders who have enough claims at hand nothing
-- more is taken: as arrays, because a join would have all that is due sorted for each claim.
WITH due AS MATERIALIZED (
    SELECT c.execution_id, c.number, c.brand_id, c.sender_id, c.channel, c.lane, c.sends, c.due_at, c.suspects,
        NOT EXISTS (
            SELECT FROM execution e
            JOIN sender s ON s.id = c.sender_id
            WHERE e.id = c.execution_id AND (
                e.deadline_at <= :now
                OR e.paused_at IS NULL AND (s.paused_at IS NULL OR e.state IN ('cancelled', 'failed'))
            )
        ) AS parked
    FROM unnest(:lanes::smallint[], :floors::timestamptz[]) AS l (lane, floor)
    CROSS JOIN LATERAL (
        SELECT c.execution_id, c.number, c.brand_id, c.sender_id, c.channel, c.lane, c.sends, c.due_at, c.suspects
        FROM chunk c
        WHERE c.done_at IS NULL AND NOT c.parked AND c.lane = l.lane AND c.due_at <= :now
            AND c.due_at >= least(l.floor, :now - make_interval(secs => :lag_s))
            AND (c.lease_until IS NULL OR c.lease_until < :now)
            AND (c.suspects = 0 OR :with_suspects)
            AND c.sender_id <> ALL (CASE WHEN l.lane = 2 THEN :busy_in_bulk::uuid[] ELSE :busy::uuid[] END)
            AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
        ORDER BY c.due_at, c.execution_id, c.number
        LIMIT :look_ahead
        FOR UPDATE OF c SKIP LOCKED
    ) c
    LIMIT :look_ahead
),
first AS (
    SELECT f.execution_id, f.number, f.brand_id, f.sender_id, f.channel, f.lane, f.suspects
    FROM due f
    WHERE NOT f.parked
    ORDER BY f.lane, f.due_at, f.execution_id, f.number
    LIMIT 1
),
same_sender AS (
    SELECT d.*, sum(d.sends) OVER (ORDER BY d.lane, d.due_at, d.execution_id, d.number) - d.sends AS before
    FROM due d
    JOIN first f ON f.brand_id = d.brand_id AND f.sender_id = d.sender_id AND f.channel = d.channel AND f.lane = d.lane
    WHERE NOT d.parked AND (
        d.suspects = 0 AND f.suspects = 0 OR d.execution_id = f.execution_id AND d.number = f.number
    )
),
taken AS (
    SELECT s.execution_id, s.number, false AS parked
    FROM same_sender s
    WHERE s.before = 0 OR s.before + s.sends <= :sends_max
    UNION ALL
    SELECT d.execution_id, d.number, true
    FROM due d
    WHERE d.parked
)
UPDATE chunk c
SET parked = t.parked, lease_until = CASE WHEN NOT t.parked THEN :now + :lease END,
    epoch = c.epoch + CASE WHEN t.parked THEN 0 ELSE 1 END, worker = CASE WHEN t.parked THEN c.worker ELSE :worker END
FROM taken t
WHERE c.execution_id = t.execution_id AND c.number = t.number
RETURNING t.parked, c.execution_id, c.number, c.brand_id, c.sender_id, c.channel, c.lane, c.key_from, c.key_to, c.epoch,
    (SELECT coalesce(max(v.number) + 1, 0) FROM wave v WHERE v.execution_id = c.execution_id AND v.chunk = c.number),
    EXISTS (
        SELECT FROM wave v WHERE v.execution_id = c.execution_id AND v.chunk = c.number AND v.settled_at IS NULL
    ) AS unsettled,
    c.key_from AS cursor, c.suspects, c.suspect_to, c.times_lost, c.sends

-- name: floors
-- all brands: a worker looks for whatever is due, whoever it belongs to.
-- From where on each lane has to be looked through: its first chunk that is not done, or what a pause holds up, which comes
-- back to where it was.
SELECT least(
    :now - make_interval(secs => :lag_s),
    (
        SELECT c.due_at
        FROM chunk c
        WHERE c.done_at IS NULL AND NOT c.parked AND c.lane = l.lane
            AND c.due_at >= least(l.floor, :now - make_interval(secs => :lag_s))
        ORDER BY c.due_at
        LIMIT 1
    ),
    (SELECT min(e.created_at) FROM parked_pairs() p JOIN execution e ON e.id = p.execution_id)
)
FROM unnest(:lanes::smallint[], :floors::timestamptz[]) WITH ORDINALITY AS l (lane, floor, ordinal)
ORDER BY l.ordinal

-- name: unpark_chunks
-- all brands: any worker, twice a second, takes back to the claims what no pause holds up any more.
-- It looks at pairs of execution and sender, and not at their chunks. A chunk that is parked by a claim which saw the pause, just
-- after it ended, is found at the next look.
WITH claimable AS (
    SELECT c.execution_id, c.number
    FROM parked_pairs() p
    JOIN execution e ON e.id = p.execution_id
    JOIN sender s ON s.id = p.sender_id
    JOIN chunk c ON c.execution_id = p.execution_id AND c.sender_id = p.sender_id
    WHERE c.parked AND NOT c.pulled AND c.done_at IS NULL AND (
        e.deadline_at <= :now OR e.paused_at IS NULL AND (s.paused_at IS NULL OR e.state IN ('cancelled', 'failed'))
    )
    LIMIT :at_most
    FOR UPDATE OF c SKIP LOCKED
)
UPDATE chunk c
SET parked = false
FROM claimable u
WHERE c.execution_id = u.execution_id AND c.number = u.number

-- name: extend_leases
-- all brands: a worker keeps what it holds; run every 5 s against a lease of 20 s.
-- By name, not by worker: a chunk that an error made its worker forget must be left to expire.
-- Past those that are being settled or claimed right now: one that somebody frozen holds must not cost the others their leases.
UPDATE chunk c
SET lease_until = :now + :lease
FROM (
    SELECT h.execution_id, h.number
    FROM unnest(:execution_ids::uuid[], :numbers::integer[], :epochs::integer[]) AS w (execution_id, number, epoch)
    JOIN chunk h ON h.execution_id = w.execution_id AND h.number = w.number AND h.epoch = w.epoch
    WHERE h.done_at IS NULL
    ORDER BY h.execution_id, h.number
    FOR UPDATE OF h SKIP LOCKED
) held
WHERE c.execution_id = held.execution_id AND c.number = held.number

-- name: standing
-- Locks the chunks of a wave against a rescuer and reads what may have changed since they were claimed. A chunk whose epoch
-- is not ours any more is absent.
SELECT c.execution_id, c.number, e.state, e.paused_at IS NOT NULL, s.paused_at IS NOT NULL,
    extract(epoch FROM e.deadline_at - :now)::double precision, e.has_revoked
FROM unnest(:execution_ids::uuid[], :numbers::integer[], :epochs::integer[]) AS w (execution_id, number, epoch)
JOIN chunk c ON c.execution_id = w.execution_id AND c.number = w.number AND c.epoch = w.epoch
JOIN execution e ON e.id = c.execution_id
JOIN sender s ON s.id = c.sender_id
WHERE c.brand_id = :brand_id AND c.done_at IS NULL
ORDER BY c.execution_id, c.number
FOR UPDATE OF c

-- name: open_waves
-- The attempt itself. Committed before the first byte leaves.
INSERT INTO wave (execution_id, chunk, number, brand_id, sender_id, key_from, key_to, sends, epoch, worker, opened_at)
SELECT w.execution_id, w.chunk, w.number, :brand_id, :sender_id, w.key_from, w.key_to, w.sends, w.epoch, :worker, :now
FROM unnest(
        :execution_ids::uuid[], :chunks::integer[], :numbers::integer[], :keys_from::uuid[], :keys_to::uuid[],
        :sends::integer[], :epochs::integer[]
    ) AS w (execution_id, chunk, number, key_from, key_to, sends, epoch)

-- name: close_waves
-- Fenced: a worker that lost its lease closes nothing, and settles nothing after that.
UPDATE wave v
SET settled_at = :now
FROM unnest(:execution_ids::uuid[], :chunks::integer[], :numbers::integer[], :epochs::integer[])
    AS w (execution_id, chunk, number, epoch)
JOIN chunk c ON c.execution_id = w.execution_id AND c.number = w.chunk AND c.epoch = w.epoch
WHERE v.execution_id = w.execution_id AND v.chunk = w.chunk AND v.number = w.number AND v.brand_id = :brand_id
    AND v.settled_at IS NULL

-- name: close_own_waves
-- Of an owner who was not told that they are committed, and so never started them; fenced like any other settling.
UPDATE wave v
SET settled_at = :now
FROM unnest(:execution_ids::uuid[], :numbers::integer[], :epochs::integer[]) AS w (execution_id, number, epoch)
JOIN chunk c ON c.execution_id = w.execution_id AND c.number = w.number AND c.epoch = w.epoch
WHERE v.execution_id = w.execution_id AND v.chunk = w.number AND v.epoch = w.epoch AND v.brand_id = :brand_id
    AND v.settled_at IS NULL
RETURNING v.execution_id, v.chunk AS number, v.key_from, v.key_to

-- name: settle_each
-- The exceptions of a wave, one by one: whoever was not simply handed over.
UPDATE send s
SET state = t.state, reason = t.reason, rule = t.rule, evidence = t.evidence, tries = s.tries + t.tried,
    doubts = s.doubts + t.doubted, chunk = t.chunk_to, decided_at = :now
FROM unnest(
        :execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :chunks::integer[], :states::smallint[],
        :reasons::smallint[], :rules::smallint[], :evidences::integer[], :tried::smallint[], :doubted::smallint[],
        :chunks_to::integer[]
    ) AS t (execution_id, part, customer_id, chunk, state, reason, rule, evidence, tried, doubted, chunk_to)
WHERE s.execution_id = t.execution_id AND s.part = t.part AND s.customer_id = t.customer_id AND s.channel = :channel
    AND s.chunk = t.chunk AND s.state = 0 AND s.brand_id = :brand_id

-- name: settle_handed_over
-- Everybody else of the wave: one range per chunk, no list of people.
UPDATE send s
SET state = 2, tries = s.tries + 1, decided_at = :now
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :parts_from::smallint[], :keys_from::uuid[], :parts_to::smallint[],
        :keys_to::uuid[]
    ) AS w (execution_id, number, part_from, key_from, part_to, key_to)
WHERE s.execution_id = w.execution_id AND s.chunk = w.number AND s.channel = :channel AND s.state = 0
    AND (s.part, s.customer_id) >= (w.part_from, w.key_from) AND (s.part, s.customer_id) <= (w.part_to, w.key_to)
    AND s.brand_id = :brand_id

-- name: settle_accepted
-- What a lost worker had noted as accepted: with the time at which it was.
UPDATE send s
SET state = 2, tries = s.tries + 1, decided_at = :now - make_interval(secs => t.age_s)
FROM unnest(
        :execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :chunks::integer[], :ages_s::double precision[]
    ) AS t (execution_id, part, customer_id, chunk, age_s)
WHERE s.execution_id = t.execution_id AND s.part = t.part AND s.customer_id = t.customer_id AND s.channel = :channel
    AND s.chunk = t.chunk AND s.state = 0 AND s.brand_id = :brand_id

-- name: left_by_lost
-- The sends that lost waves left pending, each with the place of its wave.
SELECT w.ordinal::integer - 1, s.customer_id, s.variant, s.tries, s.doubts
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :parts_from::smallint[], :keys_from::uuid[], :parts_to::smallint[],
        :keys_to::uuid[]
    ) WITH ORDINALITY AS w (execution_id, number, part_from, key_from, part_to, key_to, ordinal)
JOIN send s ON s.execution_id = w.execution_id AND s.chunk = w.number
WHERE s.channel = :channel AND s.state = 0
    AND (s.part, s.customer_id) >= (w.part_from, w.key_from) AND (s.part, s.customer_id) <= (w.part_to, w.key_to)
    AND s.brand_id = :brand_id
ORDER BY w.ordinal, s.part, s.customer_id

-- name: left_pending
-- Whom a wave that was never started left pending.
SELECT s.customer_id
FROM send s
WHERE s.execution_id = :execution_id AND s.chunk = :chunk AND s.channel = :channel AND s.state = 0
    AND (s.part, s.customer_id) >= (:part_from::smallint, :key_from::uuid)
    AND (s.part, s.customer_id) <= (:part_to::smallint, :key_to::uuid)
    AND s.brand_id = :brand_id

-- name: lost_waves
SELECT c.ordinal::integer - 1 AS place, v.execution_id, v.chunk, v.number, v.epoch, v.worker, v.key_from, v.key_to
FROM unnest(:execution_ids::uuid[], :numbers::integer[]) WITH ORDINALITY AS c (execution_id, number, ordinal)
JOIN wave v ON v.execution_id = c.execution_id AND v.chunk = c.number
WHERE v.brand_id = :brand_id AND v.settled_at IS NULL
ORDER BY c.ordinal, v.number

-- name: close_lost
-- `lost`: nothing is known of them, because their worker's journal is not here.
UPDATE wave v
SET settled_at = :now, lost = w.lost
FROM unnest(:execution_ids::uuid[], :chunks::integer[], :numbers::integer[], :lost::boolean[])
    AS w (execution_id, chunk, number, lost)
WHERE v.execution_id = w.execution_id AND v.chunk = w.chunk AND v.number = w.number AND v.brand_id = :brand_id

-- name: suspect
-- A worker was lost with sends of these chunks, or they are past suspicion.
UPDATE chunk c
SET suspects = w.suspects, suspect_to = w.suspect_to, times_lost = w.times_lost
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :epochs::integer[], :suspects::integer[], :suspects_to::uuid[],
        :times_lost::integer[]
    ) AS w (execution_id, number, epoch, suspects, suspect_to, times_lost)
WHERE c.execution_id = w.execution_id AND c.number = w.number AND c.epoch = w.epoch AND c.brand_id = :brand_id

-- name: workers_with_open_waves
-- all brands: journals belong to processes, not to brands.
SELECT DISTINCT v.worker FROM wave v WHERE v.settled_at IS NULL AND v.worker = ANY (:workers::text[])

-- name: lock_chunks
-- In the order of their key, so that two settlements that move sends to each other's chunks cannot deadlock.
SELECT c.execution_id, c.number
FROM unnest(:execution_ids::uuid[], :numbers::integer[]) AS w (execution_id, number)
JOIN chunk c ON c.execution_id = w.execution_id AND c.number = w.number
WHERE c.brand_id = :brand_id
ORDER BY c.execution_id, c.number
FOR UPDATE OF c

-- name: add_to_chunks
-- Retries and holds: the chunk of the same range for this try or this due time, made or opened again.
INSERT INTO chunk (execution_id, number, brand_id, sender_id, channel, lane, key_from, key_to, sends, due_at)
SELECT c.execution_id, c.number, :brand_id, :sender_id, :channel, c.lane, c.key_from, c.key_to, c.sends,
    greatest(c.due_at, :now + make_interval(secs => c.delay_s))
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :lanes::smallint[], :keys_from::uuid[], :keys_to::uuid[],
        :sends::integer[], :delays_s::double precision[], :due_at::timestamptz[]
    ) AS c (execution_id, number, lane, key_from, key_to, sends, delay_s, due_at)
ORDER BY c.execution_id, c.number
ON CONFLICT (execution_id, number) DO UPDATE
SET sends = chunk.sends + excluded.sends, due_at = greatest(chunk.due_at, excluded.due_at), done_at = NULL

-- name: wake_held
-- The time that these sends were held until has come: they are pending, and judged again as all pending ones are.
UPDATE send s
SET state = 0, reason = 0, rule = 0
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :parts_from::smallint[], :keys_from::uuid[], :parts_to::smallint[],
        :keys_to::uuid[]
    ) AS w (execution_id, number, part_from, key_from, part_to, key_to)
WHERE s.execution_id = w.execution_id AND s.chunk = w.number AND s.channel = :channel AND s.state = 1 AND s.reason = 27
    AND (s.part, s.customer_id) >= (w.part_from, w.key_from) AND (s.part, s.customer_id) <= (w.part_to, w.key_to)
    AND s.brand_id = :brand_id
RETURNING s.execution_id

-- name: still_pending
-- Whether anybody is left in these chunks, or was held in them meanwhile: asked under their locks, before they are called done.
SELECT w.ordinal::integer - 1
FROM unnest(
        :execution_ids::uuid[], :numbers::integer[], :parts_from::smallint[], :keys_from::uuid[], :parts_to::smallint[],
        :keys_to::uuid[]
    ) WITH ORDINALITY AS w (execution_id, number, part_from, key_from, part_to, key_to, ordinal)
WHERE EXISTS (
    SELECT FROM send s
    WHERE s.execution_id = w.execution_id AND s.brand_id = :brand_id AND s.chunk = w.number AND s.channel = :channel
        AND s.state IN (0, 1)
        AND (s.part, s.customer_id) >= (w.part_from, w.key_from) AND (s.part, s.customer_id) <= (w.part_to, w.key_to)
)

-- name: finish_chunks
UPDATE chunk c
SET done_at = :now, lease_until = NULL, suspects = 0, suspect_to = NULL, times_lost = 0
FROM unnest(:execution_ids::uuid[], :numbers::integer[], :epochs::integer[]) AS w (execution_id, number, epoch)
WHERE c.execution_id = w.execution_id AND c.number = w.number AND c.epoch = w.epoch AND c.brand_id = :brand_id

-- name: release_chunks
-- Given back unfinished: to be claimed by anyone after the delay.
UPDATE chunk c
SET lease_until = NULL, due_at = greatest(c.due_at, :now + make_interval(secs => :delay_s))
FROM unnest(:execution_ids::uuid[], :numbers::integer[], :epochs::integer[]) AS w (execution_id, number, epoch)
WHERE c.execution_id = w.execution_id AND c.number = w.number AND c.epoch = w.epoch AND c.brand_id = :brand_id
    AND c.done_at IS NULL

-- name: fill_bucket
-- Locks the sender's bucket and answers how many whole tokens are in it by now: no fewer when the clock was put back.
INSERT INTO sender_bucket AS b (sender_id, brand_id, tokens, refilled_at)
VALUES (:sender_id, :brand_id, :burst, :now)
ON CONFLICT (sender_id) DO UPDATE
SET tokens = least(:burst, b.tokens + :pace_per_s * greatest(0, extract(epoch FROM :now - b.refilled_at))), refilled_at = :now
RETURNING floor(b.tokens)::integer

-- name: spend_tokens
UPDATE sender_bucket SET tokens = tokens - :spent WHERE sender_id = :sender_id AND brand_id = :brand_id

-- name: record_answers
INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind, sender_id, answer)
SELECT e.execution_id, e.customer_id, :brand_id, e.event_id, :now, e.part, :channel, e.kind, :sender_id, e.answer
FROM unnest(
        :execution_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :event_ids::uuid[], :kinds::text[], :answers::text[]
    ) AS e (execution_id, part, customer_id, event_id, kind, answer)
ON CONFLICT DO NOTHING
