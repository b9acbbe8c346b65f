-- name: lists
-- Those of the brand's own; a list of another brand that it links to is named by that one.
SELECT id, name, scope FROM optout_list WHERE brand_id = :brand_id AND id = ANY(:ids::uuid[])
