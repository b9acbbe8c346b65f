-- name: untold
-- all brands: the notifier tells for all of them; each row says whose it is.
-- What became of runs, the oldest first; those that customers' events started are told person by person, elsewhere, unless they have to
-- be cleared. A cancellation waits until its publication was told, or put off; a restored copy tells nobody.
SELECT e.id, e.brand_id, e.execution_id, e.kind, e.at, r.number, r.channels, r.held_channels, r.required_by
FROM partner_event e
LEFT JOIN partner_run r ON r.execution_id = e.execution_id
WHERE e.told_at IS NULL AND e.put_off_until IS NULL
    AND NOT (e.kind = 'published' AND r.required_by IS NULL AND EXISTS (
        SELECT FROM execution x
        JOIN event_generator g ON g.brand_id = x.brand_id AND g.id = x.generator_id AND g.type = 'event'
        WHERE x.id = e.execution_id
    ))
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    AND (e.kind = 'published' OR NOT EXISTS (
        SELECT FROM partner_event p WHERE p.execution_id = e.execution_id AND p.kind = 'published' AND p.told_at IS NULL AND p.put_off_until IS NULL
    ))
ORDER BY e.id
LIMIT :limit
FOR UPDATE OF e SKIP LOCKED

-- name: note_told
-- all brands: the ids were locked a moment ago.
UPDATE partner_event SET told_at = :now WHERE id = ANY(:ids)

-- name: forget_told
-- all brands: a sweep by age.
DELETE FROM partner_event
WHERE id IN (
    SELECT id FROM partner_event
    WHERE told_at < :now - make_interval(days => :days) ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
)
