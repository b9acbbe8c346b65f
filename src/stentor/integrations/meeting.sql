-- Executions that a customer's event started, told to listeners person by person.

-- name: untold
-- all brands: the notifier tells for all of them; each row says whose it is.
-- Those that are new, and those that were put off until now: neither keeps the others waiting. What has to be cleared is told as any
-- campaign is, by events 5, 1 and 13. `promo_codes`: those that its campaign names, and that there are.
SELECT e.id, e.brand_id, e.execution_id, r.number, r.channels,
    x.state <> 'sending' OR coalesce(x.deadline_at <= :now, false) AS is_over,
    ARRAY(
        SELECT o.code
        FROM publication p
        CROSS JOIN jsonb_array_elements_text(
            coalesce(p.content->'policy'->'promo_codes', '[]'::jsonb)
        ) WITH ORDINALITY AS c (code, place)
        JOIN promotion o ON o.brand_id = p.brand_id AND o.code = c.code
        WHERE p.id = x.publication_id AND p.brand_id = e.brand_id
        ORDER BY c.place
    ) AS promo_codes
FROM (
    (
        SELECT n.id, n.brand_id, n.execution_id
        FROM partner_event n
        JOIN execution s ON s.id = n.execution_id
        JOIN partner_run h ON h.execution_id = n.execution_id AND h.required_by IS NULL
        JOIN event_generator g ON g.brand_id = s.brand_id AND g.id = s.generator_id AND g.type = 'event'
        WHERE n.told_at IS NULL AND n.put_off_until IS NULL AND n.kind = 'published'
        ORDER BY n.id
        LIMIT :limit
    )
    UNION ALL
    (
        SELECT p.id, p.brand_id, p.execution_id
        FROM partner_event p
        WHERE p.told_at IS NULL AND p.put_off_until <= :now
        ORDER BY p.put_off_until
        LIMIT :limit
    )
) e
JOIN partner_run r ON r.execution_id = e.execution_id
JOIN execution x ON x.id = e.execution_id
WHERE NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)

-- name: lock_untold
SELECT id FROM partner_event WHERE id = :id AND brand_id = :brand_id AND told_at IS NULL FOR UPDATE SKIP LOCKED

-- name: note_told
UPDATE partner_event SET told_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: put_off
UPDATE partner_event
SET put_off_until = least(:until::timestamptz, CASE WHEN :is_held THEN :now + :wait::interval END)
WHERE id = :id AND brand_id = :brand_id AND told_at IS NULL

-- name: who_waits
-- Those of these people who still wait on that partner channel, whether it is time for them, and what their event said. Whoever was
-- pulled, said no or was told of already is not among them.
SELECT u.position, u.at <= :now, u.at, t.context::text
FROM unnest(:positions::integer[], :parts::smallint[], :customer_ids::uuid[], :ats::timestamptz[])
    AS u (position, part, customer_id, at)
JOIN send s
    ON s.execution_id = :execution_id AND s.part = u.part AND s.customer_id = u.customer_id AND s.brand_id = :brand_id AND s.state = 0
JOIN chunk k ON k.execution_id = s.execution_id AND k.number = s.chunk AND k.brand_id = :brand_id
JOIN partner_channel p ON p.sender_id = k.sender_id AND p.brand_id = :brand_id AND p.number = :channel
LEFT JOIN send_context t
    ON t.execution_id = :execution_id AND t.part = u.part AND t.customer_id = u.customer_id AND t.brand_id = :brand_id
ORDER BY u.position
