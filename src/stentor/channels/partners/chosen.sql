-- Partner templates as campaigns choose them.

-- name: chosen
-- Deleted ones too: a campaign that names one is told what it has lost.
SELECT t.id, t.channel_number, t.number, t.name, t.app_id, c.channel, c.name, c.sender_id,
    t.deleted_at IS NOT NULL OR c.deleted_at IS NOT NULL
FROM partner_template t
JOIN partner_channel c ON c.brand_id = t.brand_id AND c.number = t.channel_number
WHERE t.brand_id = :brand_id AND t.id = ANY(:ids::uuid[])

-- name: channels_by_sender
SELECT sender_id, number FROM partner_channel WHERE brand_id = :brand_id AND sender_id = ANY(:sender_ids::uuid[])

-- name: apps_called
-- Who has it as an id comes before who has it as a name; of several of a name, the first by its id.
SELECT DISTINCT ON (s.number, s.said) s.number, s.said, a.app_id
FROM unnest(:numbers::integer[], :said::text[]) AS s (number, said)
JOIN partner_app a ON a.channel_number = s.number AND (a.app_id = s.said OR a.name = s.said)
WHERE a.brand_id = :brand_id
ORDER BY s.number, s.said, (a.app_id <> s.said), a.app_id COLLATE "C"

-- name: promo_codes_known
SELECT o.code FROM promotion o WHERE o.brand_id = :brand_id AND o.code = ANY (:codes::text[])

-- name: offered
SELECT t.id, t.channel_number, t.number, t.name, t.app_id, c.channel, c.name, c.sender_id, false
FROM partner_template t
JOIN partner_channel c ON c.brand_id = t.brand_id AND c.number = t.channel_number
WHERE t.brand_id = :brand_id AND t.deleted_at IS NULL AND c.deleted_at IS NULL
ORDER BY t.channel_number, t.number
LIMIT :limit
