-- name: runs
-- Executions by their run numbers, a row for each of their partner channels.
SELECT r.number, r.execution_id, r.published_at, c.number, c.channel
FROM partner_run r
JOIN partner_channel c ON c.brand_id = r.brand_id AND c.number = ANY(r.channels)
WHERE r.brand_id = :brand_id AND r.number = ANY(:numbers)

-- name: lock_runs
-- One after the other enters facts of an execution: whose fact is the first of its kind is asked before it is told.
SELECT number FROM partner_run WHERE brand_id = :brand_id AND number = ANY(:numbers) ORDER BY number FOR NO KEY UPDATE

-- name: templates
-- Those of these that there are, or were: what was published with a template goes on when it is deleted.
SELECT t.channel_number, t.number
FROM unnest(:channels::integer[], :templates::integer[]) AS n (channel, template)
JOIN partner_template t ON t.brand_id = :brand_id AND t.channel_number = n.channel AND t.number = n.template

-- name: sent_templates
-- By which template of which partner channel the sends of these executions go out, route by route: those whose number for route and
-- language is from one to before another.
SELECT r.execution_id, (r.route->'partner'->>'channel_number')::integer, r.variant_to - r.variants, r.variant_to,
    (r.route->'partner'->>'template_number')::integer
FROM (
    SELECT e.id AS execution_id, x.route, jsonb_array_length(x.route->'variants') AS variants,
        sum(jsonb_array_length(x.route->'variants')) OVER (
            PARTITION BY e.id, x.route->'channel' ORDER BY x.place ROWS UNBOUNDED PRECEDING
        )::integer AS variant_to
    FROM execution e
    JOIN publication p ON p.id = e.publication_id AND p.brand_id = :brand_id
    CROSS JOIN jsonb_array_elements(p.content->'routes') WITH ORDINALITY AS x (route, place)
    WHERE e.id = ANY(:execution_ids::uuid[]) AND e.brand_id = :brand_id
) r
WHERE jsonb_typeof(r.route->'partner') = 'object'

-- name: replace_totals
INSERT INTO reported_metric AS m (execution_id, channel_number, template_number, metric, brand_id, value, reported_at)
SELECT n.execution_id, n.channel, n.template, n.metric, :brand_id, n.value, :now
FROM unnest(:execution_ids::uuid[], :channels::integer[], :templates::integer[], :metrics::smallint[], :values::bigint[])
    AS n (execution_id, channel, template, metric, value)
ORDER BY 1, 2, 3, 4
ON CONFLICT (execution_id, channel_number, template_number, metric)
    DO UPDATE SET value = excluded.value, reported_at = excluded.reported_at

-- name: add_totals
INSERT INTO reported_metric AS m (execution_id, channel_number, template_number, metric, brand_id, value, reported_at)
SELECT n.execution_id, n.channel, n.template, n.metric, :brand_id, n.value, :now
FROM unnest(:execution_ids::uuid[], :channels::integer[], :templates::integer[], :metrics::smallint[], :values::bigint[])
    AS n (execution_id, channel, template, metric, value)
ORDER BY 1, 2, 3, 4
ON CONFLICT (execution_id, channel_number, template_number, metric)
    DO UPDATE SET value = least(m.value + excluded.value, :most::bigint), reported_at = excluded.reported_at

-- name: count_call
INSERT INTO reported_interaction AS i (
    execution_id, channel_number, template_number, event, day, recipient_group, brand_id, calls, customers, unknown, reported_at
)
VALUES (:execution_id, :channel, :template, :event, :day, :group, :brand_id, 1, :customers, :unknown, :now)
ON CONFLICT (execution_id, channel_number, template_number, event, day, recipient_group)
    DO UPDATE SET calls = i.calls + 1, customers = i.customers + excluded.customers, unknown = i.unknown + excluded.unknown,
        reported_at = excluded.reported_at

-- name: count_people
INSERT INTO fact_tally AS t (execution_id, channel_number, template_number, kind, brand_id, people)
SELECT n.execution_id, n.channel, n.template, n.kind, :brand_id, n.people
FROM unnest(:execution_ids::uuid[], :channels::integer[], :templates::integer[], :kinds::smallint[], :people::bigint[])
    AS n (execution_id, channel, template, kind, people)
ORDER BY 1, 2, 3, 4
ON CONFLICT (execution_id, channel_number, template_number, kind) DO UPDATE SET people = t.people + excluded.people

-- name: remember
-- Those that were not told before, by their place.
INSERT INTO told_fact (shard, digest, brand_id, told_at)
SELECT n.shard, n.digest, :brand_id, :now
FROM unnest(:shards::smallint[], :digests::bytea[]) AS n (shard, digest)
ORDER BY n.shard, n.digest
ON CONFLICT (shard, digest) DO NOTHING
RETURNING digest

-- name: forget_ids
DELETE FROM told_fact t
USING unnest(:shards::smallint[], :digests::bytea[]) AS n (shard, digest)
WHERE t.shard = n.shard AND t.digest = n.digest AND t.brand_id = :brand_id

-- name: forget_told
-- all brands: how long ids are kept is nobody's choice.
DELETE FROM told_fact t
USING (
    SELECT o.shard, o.digest FROM told_fact o WHERE o.told_at < :now - make_interval(days => :days) ORDER BY o.told_at LIMIT :limit
) o
WHERE t.shard = o.shard AND t.digest = o.digest

-- name: totals_of
SELECT channel_number, template_number, metric, value, reported_at
FROM reported_metric
WHERE execution_id = :execution_id AND brand_id = :brand_id

-- name: people_of
SELECT channel_number, template_number, kind, people
FROM fact_tally
WHERE execution_id = :execution_id AND brand_id = :brand_id

-- name: calls_of
SELECT channel_number, template_number, sum(calls)::bigint, sum(customers)::bigint, sum(unknown)::bigint
FROM reported_interaction
WHERE execution_id = :execution_id AND brand_id = :brand_id
GROUP BY channel_number, template_number

-- name: names
SELECT c.number, c.name, coalesce(t.number, 0), coalesce(t.name, '')
FROM unnest(:channels::integer[], :templates::integer[]) AS n (channel, template)
JOIN partner_channel c ON c.brand_id = :brand_id AND c.number = n.channel
LEFT JOIN partner_template t ON t.brand_id = :brand_id AND t.channel_number = n.channel AND t.number = n.template

-- name: runs_until
-- The newest first, with their campaigns.
SELECT r.number, r.execution_id, p.campaign_id
FROM partner_run r
JOIN execution e ON e.id = r.execution_id AND e.brand_id = :brand_id
LEFT JOIN publication p ON p.id = e.publication_id AND p.brand_id = :brand_id
WHERE r.brand_id = :brand_id AND r.published_at < :until::timestamptz AND r.channels && :channels::integer[]
ORDER BY r.number DESC
LIMIT :limit

-- name: execution_exists
SELECT EXISTS (SELECT FROM execution WHERE id = :execution_id AND brand_id = :brand_id)
