-- name: clock
SELECT :now
