-- Campaigns that are cleared person by person.

-- name: hold_open
-- Whoever tells holds the run open until the commit, beside others who do.
SELECT r.number FROM partner_run r WHERE r.brand_id = :brand_id AND r.number = :number FOR SHARE

-- name: close
-- Waits for all who were telling; whoever comes after that comes after the time, too.
SELECT r.number FROM partner_run r WHERE r.execution_id = :execution_id AND r.brand_id = :brand_id FOR NO KEY UPDATE

-- name: held_run
-- A run that the client may clear, and whether that is still open.
SELECT r.execution_id, r.number, r.required_by, r.held_channels, e.state = 'sending' AND r.required_by > :now AS is_open
FROM partner_run r
JOIN execution e ON e.id = r.execution_id AND e.brand_id = :brand_id
WHERE r.brand_id = :brand_id AND r.number = :number AND r.required_by IS NOT NULL
    AND (r.channels || r.held_channels) && :channels::integer[]

-- name: cancelled_run
-- A run of the client's channels that was cancelled less than that long ago.
SELECT r.execution_id
FROM partner_run r
JOIN execution e ON e.id = r.execution_id AND e.brand_id = :brand_id
WHERE r.brand_id = :brand_id AND r.number = :number AND (r.channels || r.held_channels) && :channels::integer[]
    AND e.cancelled_at > :now - :window::interval

-- name: people_of_run
-- Whom a run is for on these partner channels, in the order of their ids at the client. Those who were skipped are in it for these
-- reasons alone. A send is of the channel whose sender its chunk has: two of one kind may share a run.
SELECT c.external_id
FROM send s
JOIN chunk k ON k.execution_id = s.execution_id AND k.number = s.chunk AND k.brand_id = :brand_id
JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id AND p.number = ANY(:channels::integer[])
JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id AND c.brand_id = :brand_id AND NOT c.anonymous
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id
    AND (s.state IN (0, 1, 2) OR s.reason = ANY(:reasons::smallint[]))
    AND (:after::text IS NULL OR c.external_id COLLATE "C" > :after::text)
GROUP BY c.external_id
ORDER BY c.external_id COLLATE "C"

-- name: chunks_of
-- Those that go out by these partner channels, each with which.
SELECT k.number, p.number
FROM chunk k
JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id AND p.number = ANY(:channels::integer[])
WHERE k.execution_id = :execution_id AND k.brand_id = :brand_id

-- name: tell
-- Of each on the channels that the run is for them by; whom it is not for in one of these chunks is passed over. In the order of their
-- ids, so that two who tell of the same people never wait crosswise.
INSERT INTO clearance AS x (execution_id, part, customer_id, brand_id, cleared, told_at, channel_number)
SELECT DISTINCT ON (s.part, s.customer_id, k.channel_number)
    :execution_id, s.part, s.customer_id, :brand_id, n.cleared, :now, k.channel_number
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :cleared::boolean[]) AS n (part, customer_id, cleared)
JOIN send s
    ON s.execution_id = :execution_id AND s.part = n.part AND s.customer_id = n.customer_id AND s.brand_id = :brand_id
JOIN unnest(:chunks::integer[], :channel_numbers::integer[]) AS k (number, channel_number) ON k.number = s.chunk
ORDER BY s.part, s.customer_id, k.channel_number
ON CONFLICT (execution_id, part, customer_id, channel_number)
    DO UPDATE SET cleared = excluded.cleared, told_at = excluded.told_at
    WHERE x.brand_id = :brand_id
RETURNING x.customer_id

-- name: to_release
-- all brands: the notifier releases for all of them; each row says whose it is.
SELECT r.required_by, r.brand_id, r.execution_id
FROM partner_run r
JOIN execution e ON e.id = r.execution_id
WHERE r.held_channels <> '{}' AND r.required_by <= :now AND e.state = 'sending' AND e.paused_at IS NULL
    AND (:execution_id::uuid IS NULL OR (r.required_by, r.execution_id) > (:required_by::timestamptz, :execution_id::uuid))
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY r.required_by, r.execution_id
LIMIT :limit

-- name: held_chunks
-- Locked in the order of their keys, as everybody locks several: nobody cancels in between.
SELECT c.execution_id, c.number, c.brand_id, c.sender_id, c.channel, c.lane, c.key_from, c.key_to, c.epoch, 0 AS next_wave,
    false AS has_open_waves, c.key_from AS cursor
FROM chunk c
WHERE c.execution_id = :execution_id AND c.brand_id = :brand_id AND c.pulled AND c.done_at IS NULL AND c.number > :after
ORDER BY c.number
LIMIT :limit
FOR UPDATE

-- name: channel_numbers
-- By which partner channel each of these chunks goes out.
SELECT k.number, p.number
FROM chunk k
JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id
WHERE k.execution_id = :execution_id AND k.brand_id = :brand_id AND k.number = ANY(:numbers::integer[])

-- name: uncleared
-- Who waits in a chunk and was not cleared for the partner channel that it goes out by.
SELECT s.customer_id, s.variant, s.tries, s.doubts
FROM send s
WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.chunk = :number AND s.channel = :channel AND s.state = 0
    AND (s.part, s.customer_id) >= (:part_from::smallint, :key_from::uuid)
    AND (s.part, s.customer_id) <= (:part_to::smallint, :key_to::uuid)
    AND NOT EXISTS (
        SELECT FROM clearance x
        WHERE x.execution_id = s.execution_id AND x.part = s.part AND x.customer_id = s.customer_id
            AND x.channel_number = :channel_number AND x.brand_id = :brand_id AND x.cleared
    )
ORDER BY s.part, s.customer_id

-- name: anybody_waits
SELECT EXISTS (
    SELECT FROM send s
    WHERE s.execution_id = :execution_id AND s.brand_id = :brand_id AND s.chunk = :number AND s.channel = :channel
        AND s.state IN (0, 1)
        AND (s.part, s.customer_id) >= (:part_from::smallint, :key_from::uuid)
        AND (s.part, s.customer_id) <= (:part_to::smallint, :key_to::uuid)
)

-- name: finish_chunks
UPDATE chunk SET done_at = :now
WHERE execution_id = :execution_id AND brand_id = :brand_id AND number = ANY(:numbers::integer[]) AND pulled AND done_at IS NULL

-- name: keep_going
-- Until the commit nobody cancels or pauses it; whoever did a moment ago is waited for.
SELECT true FROM execution
WHERE id = :execution_id AND brand_id = :brand_id AND state = 'sending' AND paused_at IS NULL
FOR SHARE

-- name: release
UPDATE partner_run SET channels = held_channels, held_channels = '{}', published_at = :now
WHERE execution_id = :execution_id AND brand_id = :brand_id AND held_channels <> '{}'
RETURNING number, channels, published_at

-- name: over_runs
-- all brands: a sweep by age; each row says whose it is.
SELECT brand_id, execution_id FROM partner_run
WHERE required_by < :now - make_interval(days => :days) AND required_by > :now - make_interval(days => :days + 30)

-- name: forget
DELETE FROM clearance WHERE execution_id = :execution_id AND brand_id = :brand_id
