-- name: own
-- The enabled lists of a brand, with the runs that hold by now: all that is asked where none is a group or a link. It is planned
-- sooner than the one that follows, which every connection of every worker does ten times before it keeps a plan. An entry
-- expires by its time, a run by that of its youngest one. Whether there is any entry is asked in the order of the key: told that a
-- list has most of a table's rows, the planner would look for one through the whole of it. Of lists of the digests' hash the
-- single entries among these come along, which saves a statement; as one value, because thousands of rows would cost more than
-- to look for them.
SELECT l.kind IN ('grouped', 'linked'), l.id, l.number, l.name, l.scope, l.scope_ids, l.id, l.brand_id, l.hash, l.channels,
    l.expiry_days, l.generation, e.are_there,
    (SELECT x.digest FROM optout_removed x WHERE x.list_id = l.id AND x.brand_id = l.brand_id
     ORDER BY x.digest LIMIT 1) IS NOT NULL,
    r.ids, r.generations,
    CASE WHEN e.are_there AND l.hash = :hash THEN (
        SELECT coalesce(string_agg(e.digest, ''), '')
        FROM optout_recent e
        WHERE e.list_id = l.id AND e.brand_id = l.brand_id AND e.digest = ANY (:digests::bytea[])
            AND (l.expiry_days IS NULL OR e.at > :now - make_interval(days => l.expiry_days))
    ) END
FROM optout_list l
CROSS JOIN LATERAL (
    SELECT (SELECT e.digest FROM optout_recent e WHERE e.list_id = l.id AND e.brand_id = l.brand_id
            ORDER BY e.digest LIMIT 1) IS NOT NULL AS are_there
) e
CROSS JOIN LATERAL optout_runs_held(l.id, l.brand_id, :now - make_interval(days => l.expiry_days)) r
WHERE l.brand_id = :brand_id AND l.state = 'enabled' AND l.channels & :channels <> 0
    AND (:list_ids::uuid[] IS NULL OR l.id = ANY (:list_ids::uuid[]))
ORDER BY l.number

-- name: asked
-- The same for every brand: also where entries lie in other lists, or another brand's.
SELECT a.list_id, a.number, a.name, a.scope, a.scope_ids, a.store_id, a.store_brand_id, a.hash, a.channels, a.expiry_days,
    a.generation,
    (SELECT e.digest FROM optout_recent e WHERE e.list_id = a.store_id AND e.brand_id = a.store_brand_id
     ORDER BY e.digest LIMIT 1) IS NOT NULL,
    (SELECT x.digest FROM optout_removed x WHERE x.list_id = a.store_id AND x.brand_id = a.store_brand_id
     ORDER BY x.digest LIMIT 1) IS NOT NULL,
    r.ids, r.generations
FROM optout_asked a
CROSS JOIN LATERAL optout_runs_held(a.store_id, a.store_brand_id, :now - make_interval(days => a.expiry_days)) r
WHERE a.brand_id = :brand_id AND a.channels & :channels <> 0
    AND (:list_ids::uuid[] IS NULL OR a.list_id = ANY (:list_ids::uuid[]))
ORDER BY a.number, a.store_id

-- name: recents_among
-- A list may be another brand's, who lets this one read it: the brand is that of the list.
SELECT s.list_id, r.digests
FROM unnest(:list_ids::uuid[], :brand_ids::uuid[], :expiry_days::integer[]) AS s (list_id, brand_id, expiry_days)
CROSS JOIN LATERAL (
    SELECT string_agg(e.digest, '') AS digests
    FROM optout_recent e
    WHERE e.list_id = s.list_id AND e.brand_id = s.brand_id AND e.digest = ANY (:digests::bytea[])
        AND (s.expiry_days IS NULL OR e.at > :now - make_interval(days => s.expiry_days))
) r
WHERE r.digests IS NOT NULL

-- name: removed_among
-- With the generation that the list has now: compaction forgets removals together with the runs that they were made of.
SELECT s.list_id, l.generation, x.digest, x.generation
FROM unnest(:list_ids::uuid[], :brand_ids::uuid[]) AS s (list_id, brand_id)
JOIN optout_list l ON l.id = s.list_id AND l.brand_id = s.brand_id
LEFT JOIN optout_removed x ON x.list_id = s.list_id AND x.brand_id = s.brand_id AND x.digest = ANY (:digests::bytea[])

-- name: may_have_domains
-- Whether any single entry of these lists is that of a domain, or may be one: of many only the digest is kept.
SELECT EXISTS (
    SELECT FROM optout_recent r
    WHERE r.list_id = ANY (:list_ids::uuid[]) AND r.brand_id = :brand_id
        AND (r.address LIKE '@%' OR (r.address IS NULL AND r.cause NOT IN ('unsubscribe', 'stop', 'bounce', 'complaint')))
)
