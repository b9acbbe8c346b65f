-- What the text of a cast, which casting.py puts together, is asked beside.

-- name: tag_is_there
SELECT EXISTS (SELECT FROM tag WHERE id = :id AND brand_id = :brand_id)
