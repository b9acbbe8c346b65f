-- Where pages of lists ended that are made anew for each page.

-- name: begin
-- A list that is read from its beginning is another one than before.
DELETE FROM list_mark WHERE client_id = :client_id AND brand_id = :brand_id AND question = :question

-- name: before
-- The last end of a page at that row or before it whose person is still there.
SELECT m.position, m.run_number, m.channel_number, c.external_id
FROM list_mark m
JOIN customer c ON c.part = m.part AND c.customer_id = m.customer_id AND c.brand_id = :brand_id
WHERE m.client_id = :client_id AND m.brand_id = :brand_id AND m.question = :question AND m.position <= :skip
ORDER BY m.position DESC
LIMIT 1

-- name: note
INSERT INTO list_mark (client_id, question, position, brand_id, run_number, channel_number, part, customer_id, made_at)
VALUES (:client_id, :question, :position, :brand_id, :run_number, :channel_number, :part, :customer_id, :now)
ON CONFLICT (client_id, question, position) DO UPDATE
SET run_number = excluded.run_number, channel_number = excluded.channel_number, part = excluded.part,
    customer_id = excluded.customer_id, made_at = excluded.made_at
WHERE list_mark.brand_id = :brand_id

-- name: let_go
-- The oldest of a client that has too many.
DELETE FROM list_mark
WHERE client_id = :client_id AND brand_id = :brand_id AND made_at < (
    SELECT o.made_at FROM list_mark o
    WHERE o.client_id = :client_id AND o.brand_id = :brand_id
    ORDER BY o.made_at DESC
    OFFSET :most - 1
    LIMIT 1
)

-- name: forget
-- all brands: the keeper's sweep by age.
DELETE FROM list_mark
WHERE (client_id, question, position) IN (
    SELECT client_id, question, position FROM list_mark WHERE made_at < :now - :age::interval ORDER BY made_at LIMIT :limit
)
