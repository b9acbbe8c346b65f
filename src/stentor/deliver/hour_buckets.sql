-- Limits per hour: one bucket for each, shared by all workers.

-- name: fill_hour_buckets
-- Locks the buckets of these limits, in the order of their ids, and answers how many whole tokens are in each by now.
-- Who waited for the lock began before whoever had it: the time that is filled up to goes back only where the clock was put back.
-- What is promised to a minute is paid a minute before, also with what is not there yet: then nobody else has any until it is.
INSERT INTO hour_bucket AS b (owner_id, brand_id, tokens, per_s, refilled_at, turn_at)
SELECT w.owner_id, :brand_id, w.burst, w.per_s, :now, :now
FROM unnest(:owner_ids::uuid[], :bursts::double precision[], :rates::double precision[]) AS w (owner_id, burst, per_s)
ORDER BY w.owner_id
ON CONFLICT (owner_id) DO UPDATE
SET tokens = least(
        excluded.tokens - (
            SELECT coalesce(sum(p.sends), 0)
            FROM hour_promise p
            JOIN execution e ON e.id = p.execution_id AND e.cancelled_at IS NULL
            WHERE p.owner_id = b.owner_id AND p.brand_id = :brand_id
                AND p.due_at > excluded.refilled_at AND p.due_at <= excluded.refilled_at + interval '1 minute'
        ),
        b.tokens + excluded.per_s * greatest(0, extract(epoch FROM excluded.refilled_at - b.refilled_at)) - (
            SELECT coalesce(sum(p.sends), 0)
            FROM hour_promise p
            JOIN execution e ON e.id = p.execution_id AND e.cancelled_at IS NULL
            WHERE p.owner_id = b.owner_id AND p.brand_id = :brand_id
                AND p.due_at > b.refilled_at + interval '1 minute' AND p.due_at <= excluded.refilled_at + interval '1 minute'
        )
    ),
    per_s = excluded.per_s,
    refilled_at = CASE
        WHEN excluded.refilled_at < b.refilled_at - interval '1 minute' THEN excluded.refilled_at
        ELSE greatest(b.refilled_at, excluded.refilled_at)
    END
RETURNING b.owner_id, floor(b.tokens)::integer

-- name: take_turns
-- When whoever finds no room may come again: behind all who were told so before, so that each asks about once.
UPDATE hour_bucket b
SET turn_at = least(
    :now + make_interval(secs => :wait_s), greatest(b.turn_at, :now) + make_interval(secs => w.wanted / b.per_s)
)
FROM unnest(:owner_ids::uuid[], :wanted::double precision[]) AS w (owner_id, wanted)
WHERE b.owner_id = w.owner_id AND b.brand_id = :brand_id
RETURNING b.owner_id, extract(epoch FROM b.turn_at - :now)::double precision

-- name: spend_hour_tokens
UPDATE hour_bucket b
SET tokens = b.tokens - w.spent
FROM unnest(:owner_ids::uuid[], :spent::integer[]) AS w (owner_id, spent)
WHERE b.owner_id = w.owner_id AND b.brand_id = :brand_id

-- name: forget_hour_buckets
-- all brands: the keeper's sweep over limits of which nobody has sent for two hours. Each is full by then, as a new one is.
DELETE FROM hour_bucket
WHERE owner_id IN (
    SELECT owner_id FROM hour_bucket
    WHERE refilled_at < :now - interval '2 hours'
        AND NOT EXISTS (SELECT FROM hour_promise p WHERE p.owner_id = hour_bucket.owner_id AND p.due_at > :now - interval '2 hours')
    ORDER BY refilled_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)

-- name: forget_hour_promises
-- all brands: the keeper's sweep over promised minutes that are over.
DELETE FROM hour_promise
WHERE (owner_id, due_at, execution_id, channel_number) IN (
    SELECT owner_id, due_at, execution_id, channel_number FROM hour_promise
    WHERE due_at < :now - interval '2 hours'
    ORDER BY due_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
