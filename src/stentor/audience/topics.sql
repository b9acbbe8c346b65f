-- Topics: few, read often. `subscribers` sums a counter's shards.

-- name: insert_topic
INSERT INTO topic (id, brand_id, key, name, description, channels, enabled, created_at, updated_at)
VALUES (:id, :brand_id, :key, :name, :description, :channels, :enabled, :now, :now)
ON CONFLICT (brand_id, key) DO NOTHING

-- name: find_topics
-- A reference is a topic's key or its id, matched exactly; the key wins where both exist.
SELECT n.reference, t.id, t.key, t.name, t.description, t.channels, t.enabled, t.created_at, t.updated_at,
    (SELECT coalesce(sum(c.subscribers), 0) FROM topic_counter c WHERE c.topic_id = t.id AND c.brand_id = :brand_id)::bigint
        AS subscribers
FROM unnest(:references::text[]) AS n (reference)
JOIN LATERAL (
    SELECT *
    FROM topic
    WHERE brand_id = :brand_id AND (key = n.reference OR id::text = lower(n.reference))
    ORDER BY key = n.reference DESC
    LIMIT 1
) t ON true

-- name: page_of_topics
SELECT t.id, t.key, t.name, t.description, t.channels, t.enabled, t.created_at, t.updated_at,
    (SELECT coalesce(sum(c.subscribers), 0) FROM topic_counter c WHERE c.topic_id = t.id AND c.brand_id = :brand_id)::bigint
        AS subscribers
FROM topic t
WHERE t.brand_id = :brand_id AND (:after::uuid IS NULL OR t.id > :after::uuid)
ORDER BY t.id
LIMIT :limit

-- name: offered_topics
-- What the preference pages show.
SELECT id, name, description, channels
FROM topic
WHERE brand_id = :brand_id AND enabled
ORDER BY id
LIMIT :limit

-- name: lock_topic
SELECT FROM topic WHERE id = :id AND brand_id = :brand_id FOR NO KEY UPDATE

-- name: update_topic
UPDATE topic
SET name = coalesce(:name::text, name), description = coalesce(:description::text, description),
    channels = coalesce(:channels::integer, channels), enabled = coalesce(:enabled::boolean, enabled), updated_at = :now
WHERE id = :id AND brand_id = :brand_id

-- name: count_topics
SELECT count(*)::integer FROM topic WHERE brand_id = :brand_id

-- name: has_subscribers
SELECT EXISTS (SELECT FROM subscription WHERE topic_id = :id AND brand_id = :brand_id AND channels <> 0)

-- name: delete_topic
DELETE FROM topic WHERE id = :id AND brand_id = :brand_id

-- name: delete_counters
DELETE FROM topic_counter WHERE topic_id = :id AND brand_id = :brand_id

-- name: delete_channels
DELETE FROM topic_channel WHERE topic_id = :id AND brand_id = :brand_id

-- name: delete_days
DELETE FROM topic_day WHERE topic_id = :id AND brand_id = :brand_id

-- name: channels_of
SELECT topic_id, channel, sum(subscribers)::bigint
FROM topic_channel
WHERE topic_id = ANY(:topic_ids::uuid[]) AND brand_id = :brand_id
GROUP BY topic_id, channel

-- name: today
SELECT (:now AT TIME ZONE 'UTC')::date

-- name: days_of
SELECT day, sum(gained)::bigint AS gained, sum(lost)::bigint AS lost
FROM topic_day
WHERE topic_id = :id AND brand_id = :brand_id AND day BETWEEN :first_day AND :last_day
GROUP BY day
ORDER BY day
