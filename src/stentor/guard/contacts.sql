-- name: count_contacts
-- planned anew: from when the table was empty a plan was kept that goes through all of it for each wave, until it is analyzed.
-- The brand comes with the keys: a constant makes the planner believe in so few contacts that it does the same with a fresh
-- plan. The first 20,000 people under two caps took 600 µs each instead of 90.
-- What each rule counts for each of these sends, on their people's locks: a statement of its own, because one that waited for
-- a lock still sees what was true before it waited. `at` is infinity while a message is on the wire. Counts below the cap are
-- of use only where somebody gets several messages of the wave.
SELECT f.place, f.rule, (count(*) FILTER (WHERE NOT f.own))::integer, (count(*) FILTER (WHERE f.own))::integer
FROM (
    SELECT w.ordinal::integer - 1 AS place, r.ordinal::integer - 1 AS rule, r.at_most,
        c.execution_id = w.execution_id AND c.channel = :channel AS own
    FROM unnest(:brand_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :execution_ids::uuid[]) WITH ORDINALITY
        AS w (brand_id, part, customer_id, execution_id, ordinal)
    JOIN contact c ON c.part = w.part AND c.customer_id = w.customer_id AND c.brand_id = w.brand_id
    JOIN unnest(:at_mosts::integer[], :pers_s::integer[], :masks::integer[], :topics::text[], :campaigns::text[], :tags::text[])
        WITH ORDINALITY AS r (at_most, per_s, mask, topics, campaigns, tags, ordinal)
        ON c.at > :now - make_interval(secs => r.per_s) AND (1 << c.channel) & r.mask <> 0
        AND (r.topics IS NULL OR c.topic_id = ANY (r.topics::uuid[]))
        AND (r.campaigns IS NULL OR c.campaign_id = ANY (r.campaigns::uuid[]))
        AND (r.tags IS NULL OR c.tags && r.tags::text[])
) f
GROUP BY f.place, f.rule, f.at_most
HAVING :every OR count(*) FILTER (WHERE NOT f.own) >= f.at_most

-- name: contacts_of
-- When one person was written to, as far as caps count it: what was accepted, or given up in doubt.
SELECT c.execution_id, c.channel, c.at, c.campaign_id, c.topic_id, c.tags
FROM contact c
WHERE c.part = :part AND c.customer_id = :customer_id AND c.brand_id = :brand_id AND isfinite(c.at)

-- name: reserve_contacts
-- A send that is tried again opens the row that it has.
INSERT INTO contact (brand_id, part, customer_id, execution_id, channel, at, campaign_id, topic_id, tags)
SELECT :brand_id, w.part, w.customer_id, w.execution_id, :channel, 'infinity', w.campaign_id, w.topic_id, w.tags::text[]
FROM unnest(
        :parts::smallint[], :customer_ids::uuid[], :execution_ids::uuid[], :campaign_ids::uuid[], :topic_ids::uuid[],
        :tags::text[]
    ) AS w (part, customer_id, execution_id, campaign_id, topic_id, tags)
ON CONFLICT (part, customer_id, execution_id, channel) DO UPDATE SET at = 'infinity'

-- name: settle_contacts
-- planned anew: as count_contacts, and the channel comes with the keys too
-- Accepted or in doubt, it counts from when that was known; refused, it counts no more, unless an earlier try is in doubt: then
-- from when that one was given up. What was settled otherwise is not refused any more.
UPDATE contact c
SET at = CASE WHEN w.refused THEN coalesce(c.doubted_at, '-infinity') ELSE :now - make_interval(secs => w.age_s) END,
    doubted_at = CASE WHEN w.doubted THEN :now - make_interval(secs => w.age_s) ELSE c.doubted_at END
FROM unnest(
        :brand_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :execution_ids::uuid[], :channels::smallint[],
        :refused::boolean[], :doubted::boolean[], :ages_s::double precision[]
    ) AS w (brand_id, part, customer_id, execution_id, channel, refused, doubted, age_s)
WHERE c.brand_id = w.brand_id AND c.part = w.part AND c.customer_id = w.customer_id AND c.execution_id = w.execution_id
    AND c.channel = w.channel AND (NOT w.refused OR c.at = 'infinity')

-- name: give_back_contacts
-- planned anew: as count_contacts, and the channel comes with the keys too
-- Somebody said that it was not accepted: it counts no more, whatever was in doubt.
UPDATE contact c
SET at = '-infinity', doubted_at = NULL
FROM unnest(:brand_ids::uuid[], :parts::smallint[], :customer_ids::uuid[], :execution_ids::uuid[], :channels::smallint[])
    AS w (brand_id, part, customer_id, execution_id, channel)
WHERE c.brand_id = w.brand_id AND c.part = w.part AND c.customer_id = w.customer_id AND c.execution_id = w.execution_id
    AND c.channel = w.channel

-- name: forget_contacts
-- No rule looks back further.
DELETE FROM contact c
WHERE c.brand_id = :brand_id AND c.part BETWEEN :part_from AND :part_to AND c.at < :now - make_interval(days => :days)
