-- Windows in which calls are counted, a row per subject.

-- name: take
-- One statement for a call under one limit or several: all of them have room, or nothing is taken from any. The users' rows
-- are locked before the groups', so that two calls never wait for each other crosswise. Of a limit that is taken from in
-- advance the last quarter goes in ever smaller pieces, so that no process sits on calls that others could do with. Two first
-- calls of a subject do not see each other's row; what then would be too many is not written, and so not let through. Who is
-- refused that way is told when a window that began with its own call would end, as much later as the two calls were apart.
WITH held AS MATERIALIZED (
    SELECT w.subject, w.at_most, w.taken, w.until
    FROM rate_window w
    WHERE w.subject = ANY (:subjects::text[])
    ORDER BY w.subject DESC
    FOR UPDATE
), asked AS MATERIALIZED (
    SELECT a.subject, a.at_most, a.window_s, a.wanted, h.until,
        CASE WHEN h.until > :now THEN greatest(0, a.at_most - h.taken) ELSE a.at_most END AS room
    FROM unnest(:subjects::text[], :at_most::integer[], :windows_s::integer[], :wanted::integer[])
        AS a (subject, at_most, window_s, wanted)
    LEFT JOIN held h ON h.subject = a.subject
), given AS MATERIALIZED (
    SELECT subject, at_most, window_s, least(wanted, greatest(1, room / 4)) AS calls
    FROM asked
    WHERE (SELECT min(room) FROM asked) > 0
), written AS (
    INSERT INTO rate_window AS w (subject, at_most, taken, until)
    SELECT g.subject, g.at_most, g.calls, :now + make_interval(secs => g.window_s)
    FROM given g
    ORDER BY g.subject DESC
    ON CONFLICT (subject) DO UPDATE
    SET at_most = excluded.at_most,
        taken = CASE WHEN w.until > :now THEN w.taken ELSE 0 END + excluded.taken,
        until = CASE WHEN w.until > :now THEN w.until ELSE excluded.until END
    WHERE CASE WHEN w.until > :now THEN w.taken ELSE 0 END + excluded.taken <= excluded.at_most
    RETURNING w.subject, w.at_most - w.taken AS room, w.until
)
SELECT a.subject, CASE WHEN n.subject IS NULL THEN 0 ELSE g.calls END AS given,
    coalesce(n.room, CASE WHEN g.subject IS NULL THEN a.room ELSE 0 END) AS room,
    extract(epoch FROM u.until - :now)::double precision AS ends_in_s, extract(epoch FROM u.until)::double precision AS ends_at
FROM asked a
LEFT JOIN written n ON n.subject = a.subject
LEFT JOIN given g ON g.subject = a.subject
CROSS JOIN LATERAL (
    SELECT coalesce(n.until, CASE WHEN a.until > :now THEN a.until END, :now + make_interval(secs => a.window_s)) AS until
) u

-- name: forget
-- A row is worth keeping for as long as somebody calls. Rows that are being counted in are left alone.
DELETE FROM rate_window
WHERE subject IN (
    SELECT subject FROM rate_window WHERE until < :now - interval '1 day' ORDER BY subject LIMIT :limit FOR UPDATE SKIP LOCKED
)
