-- What the text of a cast, which casting.py puts together, is asked beside.

-- name: moment
-- all brands: it touches no row
SELECT :now

-- name: tag_is_there
SELECT EXISTS (SELECT FROM tag WHERE id = :id AND brand_id = :brand_id)
