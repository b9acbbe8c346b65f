-- Promo codes that marketers may choose from.

-- name: promotions_of
SELECT code, name FROM promotion WHERE brand_id = :brand_id ORDER BY code COLLATE "C" LIMIT :limit

-- name: upsert_promotions
INSERT INTO promotion (brand_id, code, name, created_at, updated_at)
SELECT :brand_id, p.code, p.name, :now, :now
FROM unnest(:codes::text[], :names::text[]) AS p (code, name)
ORDER BY p.code
ON CONFLICT (brand_id, code) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at
WHERE promotion.name <> excluded.name

-- name: delete_promotions
DELETE FROM promotion WHERE brand_id = :brand_id AND code = ANY(:codes::text[])

-- name: count_promotions
SELECT count(*)::integer FROM promotion WHERE brand_id = :brand_id
