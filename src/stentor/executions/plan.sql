-- for each AUDIENCE of: topic, cast
-- Who is meant is joined as topic_people or cast_people; all else is the same for both.

-- name: plan_all
-- One send per person and channel, with the person-keyed verdict. Routes arrive as arrays, so that one statement plans a
-- slice of a large execution or dozens of small ones. No window, no data-modifying CTE, no local table: on a distributed
-- database the whole statement is pushed down to the shards. Nobody who is known by a bare address alone can have opted in;
-- to say so lets the index that has no such people answer. Quiet hours come last and ready-made: a route's `quiet` maps places
-- to what becomes of a send that nothing else objects to, packed by executions/quieting.py, and is null where there are none.
INSERT INTO send (execution_id, customer_id, brand_id, decided_at, chunk, part, channel, state, reason, rule, variant)
SELECT v.execution_id, v.customer_id, :brand_id, :now, v.chunk + (v.quiet >> 15 << 20), v.part, v.channel,
    CASE WHEN v.reason = 0 THEN v.quiet & 3 ELSE 3 END, coalesce(nullif(v.reason, 0), v.quiet >> 2 & 63),
    CASE WHEN v.quiet <> 0 AND v.reason = 0 THEN v.quiet >> 8 & 127 ELSE 0 END, v.variant
FROM (
    SELECT r.execution_id, a.customer_id, a.part, r.channel,
        r.chunk_base + chunk_offset(a.customer_id, a.part, r.part_from, r.part_to, r.chunks) AS chunk,
        coalesce(
            nullif(person_objection(p.refused_mask & :heeded, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, r.bit), 0),
            holdout_objection(:campaign_id, a.customer_id, :holdout)
        ) AS reason,
        r.variant_base + variant_for(string_to_array(r.languages, ','), p.locale) AS variant,
        CASE WHEN r.quiet IS NULL THEN 0 ELSE coalesce((r.quiet ->> p.place)::integer, 0) END AS quiet
    FROM unnest(
            :execution_ids::uuid[], :audience_ids::uuid[], :masks::bigint[], :channels::smallint[], :bits::integer[],
            :languages::text[], :variant_bases::smallint[], :chunk_bases::integer[], :chunks::integer[],
            :parts_from::smallint[], :parts_to::smallint[], :quiets::jsonb[]
        ) AS r (execution_id, audience_id, mask, channel, bit, languages, variant_base, chunk_base, chunks, part_from, part_to,
            quiet)
    JOIN {AUDIENCE}_people a
        ON a.audience_id = r.audience_id AND a.part BETWEEN r.part_from AND r.part_to AND a.meant & r.mask <> 0
    JOIN person p ON p.part = a.part AND p.customer_id = a.customer_id
    WHERE a.brand_id = :brand_id AND p.brand_id = :brand_id AND NOT p.anonymous
) v

-- name: plan_first
-- One send per person, on the first channel without an objection; where every channel objects, a skip on the first one. The
-- routes' ordinal is their place in the campaign.
INSERT INTO send (execution_id, customer_id, brand_id, decided_at, chunk, part, channel, state, reason, rule, variant)
SELECT v.execution_id, v.customer_id, :brand_id, :now, v.chunk + (v.quiet >> 15 << 20), v.part, v.channel,
    CASE WHEN v.reason = 0 THEN v.quiet & 3 ELSE 3 END, coalesce(nullif(v.reason, 0), v.quiet >> 2 & 63),
    CASE WHEN v.quiet <> 0 AND v.reason = 0 THEN v.quiet >> 8 & 127 ELSE 0 END, v.variant
FROM (
    SELECT DISTINCT ON (c.execution_id, c.part, c.customer_id)
        c.execution_id, c.customer_id, c.part, c.channel, c.chunk, c.reason, c.variant, c.quiet
    FROM (
        SELECT r.execution_id, a.customer_id, a.part, r.channel, r.ordinal,
            r.chunk_base + chunk_offset(a.customer_id, a.part, r.part_from, r.part_to, r.chunks) AS chunk,
            coalesce(
                nullif(person_objection(p.refused_mask & :heeded, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, r.bit), 0),
                holdout_objection(:campaign_id, a.customer_id, :holdout)
            ) AS reason,
            r.variant_base + variant_for(string_to_array(r.languages, ','), p.locale) AS variant,
            CASE WHEN r.quiet IS NULL THEN 0 ELSE coalesce((r.quiet ->> p.place)::integer, 0) END AS quiet
        FROM unnest(
                :execution_ids::uuid[], :audience_ids::uuid[], :masks::bigint[], :channels::smallint[], :bits::integer[],
                :languages::text[], :variant_bases::smallint[], :chunk_bases::integer[], :chunks::integer[],
                :parts_from::smallint[], :parts_to::smallint[], :quiets::jsonb[]
            ) WITH ORDINALITY
            AS r (execution_id, audience_id, mask, channel, bit, languages, variant_base, chunk_base, chunks, part_from, part_to,
                quiet, ordinal)
        JOIN {AUDIENCE}_people a
            ON a.audience_id = r.audience_id AND a.part BETWEEN r.part_from AND r.part_to AND a.meant & r.mask <> 0
        JOIN person p ON p.part = a.part AND p.customer_id = a.customer_id
        WHERE a.brand_id = :brand_id AND p.brand_id = :brand_id AND NOT p.anonymous
    ) c
    ORDER BY c.execution_id, c.part, c.customer_id, (c.reason <> 0), c.ordinal
) v

-- name: places
-- Where the people of these routes are, each place once: what quiet hours are worked out for before they are planned.
SELECT DISTINCT p.place
FROM unnest(:audience_ids::uuid[], :masks::bigint[], :parts_from::smallint[], :parts_to::smallint[])
    AS r (audience_id, mask, part_from, part_to)
JOIN {AUDIENCE}_people a
    ON a.audience_id = r.audience_id AND a.part BETWEEN r.part_from AND r.part_to AND a.meant & r.mask <> 0
JOIN person p ON p.part = a.part AND p.customer_id = a.customer_id
WHERE a.brand_id = :brand_id AND p.brand_id = :brand_id AND NOT p.anonymous

-- name: forecast
-- Both halves of the guard, read-only: how many on each channel, by verdict. Of people who share an address the guard writes
-- to one; the others are counted as duplicates of those who have no other objection. Who would be held has the reason for it:
-- quiet hours are asked before caps, as in a wave. Caps count what was sent so far: of what the run itself would send on several
-- channels, a cap that spans them counts nothing here. With :only_first each person is on the one channel that plan_first would
-- choose. That choice is made by the person alone: who stands on an opt-out list there is left out, and not moved to the next.
-- Of lists that are not single entries by md5 alone, who is on them comes with the call (executions/forecast_lists.py).
SELECT f.channel, f.reason, count(*)::integer,
    (count(f.digest) FILTER (WHERE f.shared_address) - count(DISTINCT f.digest) FILTER (WHERE f.shared_address))::integer
FROM (
    SELECT c.channel, c.shared_address, d.digest,
        CASE
            WHEN c.reason = 0 AND EXISTS (
                SELECT FROM optout_recent o
                WHERE o.list_id = ANY (:list_ids::uuid[]) AND o.brand_id = :brand_id AND o.digest = d.digest
            ) THEN 3
            WHEN c.reason = 0 AND (c.channel, c.customer_id) IN (
                SELECT x.channel, x.customer_id
                FROM unnest(:listed_channels::smallint[], :listed::uuid[]) AS x (channel, customer_id)
            ) THEN 3
            WHEN c.reason = 0 AND c.quiet <> 0 THEN c.quiet >> 2 & 63
            WHEN c.reason = 0 AND EXISTS (
                SELECT FROM unnest(
                        :cap_channels::smallint[], :at_mosts::integer[], :pers_s::integer[], :masks::integer[], :topics::text[],
                        :campaigns::text[], :tags::text[]
                    ) AS k (channel, at_most, per_s, mask, topics, campaigns, tags)
                WHERE k.channel = c.channel AND k.at_most <= (
                    SELECT count(*)
                    FROM contact n
                    WHERE n.brand_id = :brand_id AND n.part = c.part AND n.customer_id = c.customer_id
                        AND n.at > :now - make_interval(secs => k.per_s) AND (1 << n.channel) & k.mask <> 0
                        AND (k.topics IS NULL OR n.topic_id = ANY (k.topics::uuid[]))
                        AND (k.campaigns IS NULL OR n.campaign_id = ANY (k.campaigns::uuid[]))
                        AND (k.tags IS NULL OR n.tags && k.tags::text[])
                )
            ) THEN 6
            ELSE c.reason
        END AS reason
    FROM (
        SELECT DISTINCT ON (a.part, a.customer_id, CASE WHEN :only_first THEN 0 ELSE r.ordinal END)
            r.channel, a.part, a.customer_id, p.shared_address, p.email_digest, p.phone_digest, v.reason,
            coalesce((r.quiet ->> p.place)::integer, 0) AS quiet
        FROM unnest(:route_masks::bigint[], :channels::smallint[], :bits::integer[], :quiets::jsonb[]) WITH ORDINALITY
            AS r (mask, channel, bit, quiet, ordinal)
        JOIN {AUDIENCE}_people a ON a.audience_id = :audience_id AND a.meant & r.mask <> 0
        JOIN person p ON p.part = a.part AND p.customer_id = a.customer_id
        CROSS JOIN LATERAL (
            SELECT coalesce(
                nullif(person_objection(p.refused_mask & :heeded, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, r.bit), 0),
                holdout_objection(:campaign_id, a.customer_id, :holdout)
            ) AS reason
        ) v
        WHERE a.brand_id = :brand_id AND p.brand_id = :brand_id AND NOT p.anonymous
        ORDER BY a.part, a.customer_id, CASE WHEN :only_first THEN 0 ELSE r.ordinal END, (v.reason <> 0), r.ordinal
    ) c
    CROSS JOIN LATERAL (
        SELECT CASE WHEN c.channel = 1 THEN c.email_digest WHEN c.channel IN (2, 5, 6) THEN c.phone_digest END AS digest
    ) d
) f
GROUP BY f.channel, f.reason

-- name: forecast_people
SELECT count(*)::integer
FROM {AUDIENCE}_people a
WHERE a.audience_id = :audience_id AND a.brand_id = :brand_id AND a.meant & :mask::bigint <> 0

-- name: forecast_routes
-- For how many people each route is meant, before the guard.
SELECT (SELECT count(*) FROM {AUDIENCE}_people a WHERE a.audience_id = :audience_id AND a.brand_id = :brand_id AND a.meant & r.mask <> 0)::integer
FROM unnest(:masks::bigint[]) WITH ORDINALITY AS r (mask, ordinal)
ORDER BY r.ordinal

-- name: forecast_addresses
-- Everybody who would be written to on a channel if no list objected, with their address there.
SELECT a.customer_id, CASE WHEN :by_email THEN p.email ELSE p.phone END,
    CASE WHEN :by_email THEN p.email_digest ELSE p.phone_digest END
FROM {AUDIENCE}_people a
JOIN recipient p ON p.part = a.part AND p.customer_id = a.customer_id
WHERE a.audience_id = :audience_id AND a.brand_id = :brand_id AND p.brand_id = :brand_id AND a.meant & :mask::bigint <> 0
    AND person_objection(p.refused_mask & :heeded, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, :bit) = 0
    AND holdout_objection(:campaign_id, a.customer_id, :holdout) = 0

-- name: sample_people
-- The first few who would be written to, for rendered samples.
SELECT a.customer_id
FROM {AUDIENCE}_people a
JOIN person p ON p.part = a.part AND p.customer_id = a.customer_id
WHERE a.audience_id = :audience_id AND a.brand_id = :brand_id AND p.brand_id = :brand_id AND a.meant & :mask::bigint <> 0
    AND person_objection(p.refused_mask & :heeded, p.complained_mask, p.bounced_mask, p.address_mask, p.valid_mask, :bit) = 0
    AND holdout_objection(:campaign_id, a.customer_id, :holdout) = 0
ORDER BY a.part, a.customer_id
LIMIT :limit
