-- Which runs of a list hold by now, for all who ask; and when somebody was erased for the last time, beside the first.

-- The runs of a list, and their generations in the same order, whose youngest entry is newer than `since`, if that is given. The
-- planner sees what is in it: it is part of the statement that asks.
CREATE FUNCTION optout_runs_held(list uuid, brand uuid, since timestamptz) RETURNS TABLE (ids uuid[], generations bigint[])
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT coalesce(array_agg(r.id ORDER BY r.id), '{}'), coalesce(array_agg(r.generation ORDER BY r.id), '{}')
    FROM optout_run r
    WHERE r.list_id = list AND r.brand_id = brand AND r.replaced_at IS NULL AND (since IS NULL OR r.learned_at > since)
$$;

ALTER TABLE optout_erasure ADD COLUMN again_at timestamptz;
COMMENT ON TABLE optout_erasure IS 'kind: local. Whose address compaction must take out of a list''s segments; the digest stays. again_at: when that was last asked again, and files that were on their way by then may name the person, too.';
