-- Executions that a customer's event started, told to listeners person by person.

-- name: untold
-- all brands: the notifier tells for all of them; each row says whose it is.
-- `promo_codes`: those that its campaign names, and that there are.
SELECT e.id, e.brand_id, e.execution_id, r.number, r.channels,
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
FROM partner_event e
JOIN partner_run r ON r.execution_id = e.execution_id
JOIN execution x ON x.id = e.execution_id
JOIN event_generator g ON g.brand_id = x.brand_id AND g.id = x.generator_id AND g.type = 'event'
WHERE e.told_at IS NULL AND e.kind = 'published' AND r.channels <> '{}'
    AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
ORDER BY e.id
LIMIT :limit

-- name: lock_untold
SELECT id FROM partner_event WHERE id = :id AND brand_id = :brand_id AND told_at IS NULL FOR UPDATE SKIP LOCKED

-- name: note_told
UPDATE partner_event SET told_at = :now WHERE id = :id AND brand_id = :brand_id

-- name: notes
SELECT customer_id, context::text
FROM send_context
WHERE execution_id = :execution_id AND brand_id = :brand_id AND part = ANY(:parts::smallint[])
    AND customer_id = ANY(:customer_ids::uuid[])
