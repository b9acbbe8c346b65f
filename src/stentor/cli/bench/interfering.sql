-- name: open_waves
-- Whose messages are on the wire, and which keys they lie between.
SELECT split_part(worker, ':', 2), key_from, key_to FROM wave
WHERE brand_id = :brand_id AND execution_id = :execution_id AND settled_at IS NULL
