-- Pulls, their pages and leases: what coordinates the fetching of a list.

-- name: standing
-- Whether an execution may be pulled now, and when that is.
SELECT e.state, coalesce(e.deadline_at <= :now, false), e.is_test OR e.forgotten_at IS NOT NULL,
    e.paused_at IS NOT NULL OR EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
        OR EXISTS (SELECT FROM sender s WHERE s.id = :sender_id AND s.brand_id = :brand_id AND s.paused_at IS NOT NULL),
    :now
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id

-- name: moment
-- all brands: it reads no rows of theirs.
-- A time such that whatever is committed from now on, and was not before, bears one that is not earlier: a row says when its statement
-- began, and one may be committed long after that. So it goes back to where the oldest transaction that may have written began,
-- or else the oldest statement under way. Ordered by these times alone, an opt-out would be lost that was long in coming. A second
-- more, because a session has the time of its statement a little before it shows it to be active.
SELECT least(:now, :now - (statement_timestamp() - min(CASE
    WHEN a.backend_xid IS NOT NULL THEN a.xact_start
    WHEN a.state = 'active' THEN a.query_start
END))) - interval '1 second'
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'

-- name: watch_brand
-- Where nothing of the brand is watched, it is from now on; else what is watched goes on from where it is.
INSERT INTO pull_watch AS w (brand_id, watched_to)
VALUES (:brand_id, :moment::timestamptz)
ON CONFLICT (brand_id) DO UPDATE
SET watched_to = excluded.watched_to
WHERE NOT EXISTS (SELECT FROM pulled_run r WHERE r.brand_id = :brand_id AND r.watched_until > :now)

-- name: watch
-- A run is watched from before the first look at its people on. Whose watch was over begins anew: the freeze itself asks about everybody.
INSERT INTO pulled_run AS r (execution_id, channel_number, brand_id, channel, watched_until, lists, is_wide)
SELECT e.id, :channel_number, :brand_id, :channel, :now + :watch::interval, :lists, e.recipients = 0 AND e.cast_size IS NULL
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id
ON CONFLICT (execution_id, channel_number) DO UPDATE
SET lists = CASE WHEN r.watched_until < :now THEN excluded.lists ELSE r.lists END,
    swept_to = CASE WHEN r.watched_until < :now THEN NULL ELSE r.swept_to END,
    watched_until = excluded.watched_until

-- name: watching
-- Until when the run is watched, whether that ends within so long, and whether all of its people are being asked anew.
SELECT r.watched_until > :now, r.watched_until < :now + :left::interval, r.swept_to IS NOT NULL
FROM pulled_run r
WHERE r.execution_id = :execution_id AND r.channel_number = :channel_number AND r.brand_id = :brand_id

-- name: watch_on
-- Whoever was not watched for a while is asked anew, like everybody of the run.
UPDATE pulled_run
SET sweep_again = CASE WHEN watched_until < :now THEN swept_to IS NOT NULL ELSE sweep_again END,
    swept_to = CASE WHEN watched_until < :now THEN coalesce(swept_to, 0) ELSE swept_to END,
    watched_until = :now + :watch::interval
WHERE execution_id = :execution_id AND channel_number = :channel_number AND brand_id = :brand_id

-- name: add_latest
INSERT INTO pull_latest (execution_id, channel_number, puller_id, brand_id)
VALUES (:execution_id, :channel_number, :puller_id, :brand_id)
ON CONFLICT (execution_id, channel_number, puller_id) DO NOTHING

-- name: rows_there
-- Rows of the brand's lists that are there, what is replaced now included, as it stays for an hour. Of those of a thousand rows and
-- more alone: triggers make a list for each event, and these are many and small.
SELECT coalesce(sum(p.rows), 0)::bigint
FROM pull p
WHERE p.brand_id = :brand_id AND p.emptied_at IS NULL AND p.rows >= 1000

-- name: limit_waiting
-- all brands: it touches no rows. Whoever freezes the same list waits for the one before, but not for ever; and between two batches the
-- transaction stands still for as long as people are guarded beside it.
SELECT set_config('lock_timeout', :milliseconds::text, true),
    set_config('idle_in_transaction_session_timeout', :still_milliseconds::text, true)

-- name: go_on
-- all brands: it touches no rows. Says that whoever holds this transaction is alive.
SELECT true

-- name: lock_latest
SELECT l.pull_id
FROM pull_latest l
WHERE l.execution_id = :execution_id AND l.channel_number = :channel_number AND l.puller_id = :puller_id
    AND l.brand_id = :brand_id
FOR UPDATE

-- name: spread_before
-- By when an execution's people are to be written to, and the list of them that was frozen last, whoever did it, while its rows are there.
SELECT e.deadline_at, (
    SELECT p.id
    FROM pull p
    WHERE p.execution_id = :execution_id AND p.channel_number = :channel_number AND p.brand_id = :brand_id
        AND p.frozen_at IS NOT NULL AND p.dropped_at IS NULL
    ORDER BY p.id DESC
    LIMIT 1
)
FROM execution e
WHERE e.id = :execution_id AND e.brand_id = :brand_id

-- name: begin
INSERT INTO pull (id, brand_id, execution_id, channel_number, puller_id, puller, started_at)
VALUES (:id, :brand_id, :execution_id, :channel_number, :puller_id, :puller, :now)

-- name: frozen
UPDATE pull SET rows = :rows, frozen_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: replace
UPDATE pull SET replaced_at = :now WHERE id = :id AND brand_id = :brand_id AND replaced_at IS NULL

-- name: point_latest
UPDATE pull_latest l
SET pull_id = :id
WHERE l.execution_id = :execution_id AND l.channel_number = :channel_number AND l.puller_id = :puller_id
    AND l.brand_id = :brand_id

-- name: latest
SELECT p.id, p.brand_id, p.execution_id, r.number AS campaign, p.channel_number, p.puller_id, p.puller, p.rows, p.leased_to,
    p.started_at, p.frozen_at, p.replaced_at, 0::bigint AS revoked, 0 AS handed_over_rows
FROM pull_latest l
JOIN pull p ON p.id = l.pull_id AND p.brand_id = :brand_id
JOIN partner_run r ON r.execution_id = p.execution_id AND r.brand_id = :brand_id
WHERE l.execution_id = :execution_id AND l.channel_number = :channel_number AND l.puller_id = :puller_id
    AND l.brand_id = :brand_id

-- name: find
-- Where its rows are going, or whoever froze it died, there is none any more.
SELECT p.id, p.brand_id, p.execution_id, r.number AS campaign, p.channel_number, p.puller_id, p.puller, p.rows, p.leased_to,
    p.started_at, p.frozen_at, p.replaced_at, w.revoked, 0 AS handed_over_rows
FROM pull p
JOIN partner_run r ON r.execution_id = p.execution_id AND r.brand_id = :brand_id
JOIN pulled_run w
    ON w.execution_id = p.execution_id AND w.channel_number = p.channel_number AND w.brand_id = :brand_id
WHERE p.id = :id AND p.brand_id = :brand_id AND p.frozen_at IS NOT NULL AND (p.dropped_at IS NULL OR :with_dropped)

-- name: handed_over_rows
SELECT coalesce(sum(g.position_to - g.position_from), 0)::integer
FROM pull_page g
WHERE g.pull_id = :pull_id AND g.brand_id = :brand_id AND g.handed_over_at IS NOT NULL

-- name: is_there
-- Asked after rows were read: none of them had gone then. They go later than this is said of them.
SELECT p.dropped_at IS NULL FROM pull p WHERE p.id = :id AND p.brand_id = :brand_id

-- name: page_of_pulls
SELECT p.id, p.brand_id, p.execution_id, r.number AS campaign, p.channel_number, p.puller_id, p.puller, p.rows, p.leased_to,
    p.started_at, p.frozen_at, p.replaced_at, w.revoked,
    (SELECT coalesce(sum(g.position_to - g.position_from), 0) FROM pull_page g
     WHERE g.pull_id = p.id AND g.brand_id = :brand_id AND g.handed_over_at IS NOT NULL)::integer AS handed_over_rows
FROM pull p
JOIN partner_run r ON r.execution_id = p.execution_id AND r.brand_id = :brand_id
JOIN pulled_run w
    ON w.execution_id = p.execution_id AND w.channel_number = p.channel_number AND w.brand_id = :brand_id
WHERE p.brand_id = :brand_id AND p.frozen_at IS NOT NULL AND p.dropped_at IS NULL
    AND (:execution_id::uuid IS NULL OR p.execution_id = :execution_id::uuid)
    AND (:before::uuid IS NULL OR p.id < :before::uuid)
ORDER BY p.id DESC
LIMIT :limit

-- name: pages
SELECT g.id, g.position_from, g.position_to, g.asked_by, g.asked_at, g.lease_until, g.released_at, g.handed_over_at, g.handed_over
FROM pull_page g
WHERE g.pull_id = :pull_id AND g.brand_id = :brand_id AND (:before::uuid IS NULL OR g.id < :before::uuid)
ORDER BY g.id DESC
LIMIT :limit

-- name: note_pages
-- Of rows that were written out, whose people are handed over next. A page that is fetched again is one more.
INSERT INTO pull_page (id, pull_id, brand_id, position_from, position_to, asked_by, asked_at)
SELECT w.id, :pull_id, :brand_id, w.position_from, w.position_to, :asked_by, :now
FROM unnest(:ids::uuid[], :positions_from::integer[], :positions_to::integer[]) AS w (id, position_from, position_to)

-- name: begin_page
INSERT INTO pull_sending (pull_id, position_to, position_from, brand_id, begun_at)
VALUES (:pull_id, :position_to, :position_from, :brand_id, :now)
ON CONFLICT (pull_id, position_to, position_from) DO UPDATE SET begun_at = excluded.begun_at

-- name: end_page
DELETE FROM pull_sending
WHERE pull_id = :pull_id AND position_to = :position_to AND position_from = :position_from AND brand_id = :brand_id

-- name: begun_before
-- Pages that end where the next one begins, or before it, and were perhaps sent.
SELECT position_from, position_to FROM pull_sending
WHERE pull_id = :pull_id AND position_to <= :position AND brand_id = :brand_id
ORDER BY position_to, position_from

-- name: is_noted
-- Whether exactly these rows were read as a page before: whoever says so again changes nothing.
SELECT EXISTS (
    SELECT FROM pull_page g
    WHERE g.pull_id = :pull_id AND g.brand_id = :brand_id AND g.position_from = :position_from
        AND g.position_to = :position_to AND (g.handed_over_at IS NOT NULL OR g.lease_until IS NULL)
)

-- name: lock_pull
SELECT leased_to, rows FROM pull WHERE id = :id AND brand_id = :brand_id FOR UPDATE

-- name: lapsed
-- The first lease that was let go or ran out: its rows are leased again before any that nobody has had.
SELECT g.id, g.position_from, g.position_to
FROM pull_page g
WHERE g.pull_id = :pull_id AND g.brand_id = :brand_id AND g.lease_until IS NOT NULL AND g.handed_over_at IS NULL
    AND (g.released_at IS NOT NULL OR g.lease_until <= :now)
ORDER BY g.position_from
LIMIT 1
FOR UPDATE

-- name: drop_lapsed
DELETE FROM pull_page WHERE id = :id AND pull_id = :pull_id AND brand_id = :brand_id

-- name: shorten_lapsed
UPDATE pull_page SET position_from = :position_from WHERE id = :id AND pull_id = :pull_id AND brand_id = :brand_id

-- name: advance
UPDATE pull SET leased_to = :leased_to WHERE id = :id AND brand_id = :brand_id

-- name: lease
INSERT INTO pull_page (id, pull_id, brand_id, position_from, position_to, asked_by, asked_at, lease_until)
VALUES (:id, :pull_id, :brand_id, :position_from, :position_to, :asked_by, :now, :now + make_interval(secs => :lease_s))
RETURNING id, position_from, position_to, asked_by, asked_at, lease_until, released_at, handed_over_at, handed_over

-- name: lock_lease
SELECT id, position_from, position_to, asked_by, asked_at, lease_until, released_at, handed_over_at, handed_over
FROM pull_page
WHERE id = :id AND pull_id = :pull_id AND brand_id = :brand_id AND lease_until IS NOT NULL
FOR UPDATE

-- name: acknowledge
UPDATE pull_page g
SET handed_over_at = :now, handed_over = n.moved
FROM unnest(:ids::uuid[], :moved::integer[]) AS n (id, moved)
WHERE g.id = n.id AND g.pull_id = :pull_id AND g.brand_id = :brand_id AND g.handed_over_at IS NULL

-- name: release
UPDATE pull_page
SET released_at = :now
WHERE id = :id AND pull_id = :pull_id AND brand_id = :brand_id AND handed_over_at IS NULL

-- name: chunks
-- All that goes out by the channel, pulled or done, with when it falls due.
SELECT c.execution_id, c.number, c.brand_id, c.sender_id, c.channel, c.lane, c.key_from, c.key_to, c.epoch, 0 AS next_wave,
    false AS has_open_waves, c.key_from AS cursor, c.sends, c.due_at, c.pulled AND c.done_at IS NULL AS pulled
FROM chunk c
WHERE c.execution_id = :execution_id AND c.sender_id = :sender_id AND c.brand_id = :brand_id
ORDER BY c.number

-- name: hold_pulled
-- Those of these chunks that wait for a pull, which they do until this transaction ends: nobody cancels in between. In the order of
-- their key, as everybody locks several chunks.
SELECT c.number
FROM chunk c
WHERE c.execution_id = :execution_id AND c.sender_id = :sender_id AND c.brand_id = :brand_id
    AND (:numbers::integer[] IS NULL OR c.number = ANY (:numbers::integer[])) AND c.pulled AND c.done_at IS NULL
ORDER BY c.number
FOR UPDATE

-- name: share_pulled
-- The same, of all of them, beside others who do it too: pages of one list are handed over side by side.
SELECT c.number
FROM chunk c
WHERE c.execution_id = :execution_id AND c.sender_id = :sender_id AND c.brand_id = :brand_id AND c.pulled AND c.done_at IS NULL
ORDER BY c.number
FOR SHARE

-- name: waiting
-- In which of these chunks somebody waits still.
SELECT w.number
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
LIMIT :limit

-- name: finish_chunks
UPDATE chunk c
SET done_at = :now
WHERE c.execution_id = :execution_id AND c.brand_id = :brand_id AND c.number = ANY (:numbers::integer[]) AND c.pulled
    AND c.done_at IS NULL

-- name: unfinished
-- all brands: the keeper's sweep over what whoever handed over the last page did not live to finish.
-- Runs that were pulled and wait for somebody, after the last that were looked at; each is asked whether there is anybody.
SELECT r.execution_id, r.channel_number, r.brand_id
FROM pulled_run r
JOIN execution e ON e.id = r.execution_id
WHERE e.state = 'sending' AND e.ended_at IS NULL
    AND EXISTS (SELECT FROM chunk c WHERE c.execution_id = r.execution_id AND c.done_at IS NULL AND c.parked AND c.pulled)
    AND (r.execution_id, r.channel_number) > (:after_execution_id::uuid, :after_number::integer)
ORDER BY r.execution_id, r.channel_number
LIMIT :limit

-- name: unmoved
-- all brands: the keeper's, each with its brand.
-- Pages that were sent, and whoever was to hand their people over did not live to: the pages of leases wait for their service.
SELECT p.execution_id, p.channel_number, g.brand_id, g.id, g.pull_id, g.position_from, g.position_to
FROM pull_page g
JOIN pull p ON p.id = g.pull_id
WHERE g.handed_over_at IS NULL AND g.lease_until IS NULL AND g.asked_at < :now - :after::interval
ORDER BY g.id
LIMIT :limit

-- name: unmoved_of_run
-- Those of one run, whoever is about to hand their people over.
SELECT g.id, g.pull_id, g.position_from, g.position_to
FROM pull p
JOIN pull_page g ON g.pull_id = p.id AND g.brand_id = :brand_id
WHERE p.execution_id = :execution_id AND p.channel_number = :channel_number AND p.brand_id = :brand_id
    AND g.handed_over_at IS NULL AND g.lease_until IS NULL
ORDER BY g.id
LIMIT :limit

-- name: droppable
-- all brands: the keeper's, each with its brand.
-- Pulls that nobody reads any more: replaced some time ago, or by several others since; or never frozen because whoever did it died.
-- While rows are leased, or were sent and not handed over, they stay. Then those whose rows are going.
SELECT p.id, p.brand_id, p.execution_id, p.dropped_at IS NOT NULL
FROM pull p
WHERE p.emptied_at IS NULL
    AND (p.dropped_at IS NOT NULL OR p.replaced_at IS NOT NULL OR p.frozen_at IS NULL)
    AND (
        p.dropped_at IS NOT NULL
        OR (
            p.replaced_at < :now - :after::interval
            OR p.frozen_at IS NULL AND p.started_at < :now - :abandoned::interval
            OR p.replaced_at IS NOT NULL AND (
                SELECT count(*)
                FROM (
                    SELECT FROM pull o
                    WHERE o.execution_id = p.execution_id AND o.channel_number = p.channel_number AND o.puller_id = p.puller_id
                        AND o.id > p.id AND o.frozen_at IS NOT NULL AND o.dropped_at IS NULL
                    LIMIT :kept
                ) newer
            ) >= :kept
        )
        AND NOT EXISTS (
            SELECT FROM pull_page g
            WHERE g.pull_id = p.id AND g.handed_over_at IS NULL AND g.released_at IS NULL
                AND coalesce(g.lease_until > :now, g.asked_at > :now - interval '1 day')
        )
    )
ORDER BY p.id
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: note_dropped
-- From here on nobody reads it, and rows go only after that was committed.
UPDATE pull SET dropped_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: note_emptied
UPDATE pull SET emptied_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: note_reserved
-- In the transaction that reserves. Nearly always it is known already, and nothing is written.
UPDATE pulled_run r
SET settled_to = 0
WHERE r.execution_id = :execution_id AND r.channel_number = :channel_number AND r.brand_id = :brand_id
    AND r.settled_to IS DISTINCT FROM 0

-- name: has_reserved
-- Whether any of the run's people hold reservations, whoever's list they were reserved for.
SELECT r.settled_to IS NOT NULL
FROM pulled_run r
WHERE r.execution_id = :execution_id AND r.channel_number = :channel_number AND r.brand_id = :brand_id

-- name: to_settle
-- all brands: the keeper's, each with its brand.
-- Runs whose people hold reservations and whose execution is over.
SELECT r.execution_id, r.channel_number, r.brand_id
FROM pulled_run r
JOIN execution e ON e.id = r.execution_id
WHERE r.settled_to < 4096 AND e.ended_at IS NOT NULL
ORDER BY r.execution_id, r.channel_number
LIMIT :limit

-- name: settling
-- Where that stands, of what is over still: what would send again waits for the end of this transaction.
SELECT r.settled_to, r.channel, e.audience_size
FROM execution e
JOIN pulled_run r ON r.execution_id = e.id AND r.channel_number = :channel_number AND r.brand_id = :brand_id
WHERE e.id = :execution_id AND e.brand_id = :brand_id AND e.ended_at IS NOT NULL AND r.settled_to < 4096
FOR SHARE OF e

-- name: note_settled
UPDATE pulled_run r
SET settled_to = :settled_to
WHERE r.execution_id = :execution_id AND r.channel_number = :channel_number AND r.brand_id = :brand_id

-- name: pulls_of_run
-- The frozen lists of a run whose rows are there, the latest first.
SELECT p.id, p.rows, p.channel_number, p.puller, p.frozen_at
FROM pull p
WHERE p.execution_id = :execution_id AND p.brand_id = :brand_id AND p.frozen_at IS NOT NULL AND p.dropped_at IS NULL
ORDER BY p.id DESC
LIMIT :limit

-- name: pages_at
-- Who fetched the rows at these positions of these pulls.
SELECT w.ordinal::integer - 1, g.asked_at, g.handed_over_at
FROM unnest(:pull_ids::uuid[], :positions::integer[]) WITH ORDINALITY AS w (pull_id, position, ordinal)
JOIN pull_page g ON g.pull_id = w.pull_id AND g.brand_id = :brand_id AND g.position_from <= w.position
    AND g.position_to > w.position
ORDER BY w.ordinal, g.asked_at
