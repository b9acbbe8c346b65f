-- How topics grow: counted where subscriptions change, so that nobody reads people or the ledger for it.
-- squawk-ignore-file prefer-bigint-over-smallint, ban-char-field

CREATE TABLE topic_channel (
    topic_id     uuid NOT NULL,
    channel      smallint NOT NULL CHECK (channel BETWEEN 1 AND 9),
    shard        smallint NOT NULL,
    brand_id     uuid NOT NULL,
    subscribers  bigint NOT NULL,
    PRIMARY KEY (topic_id, channel, shard)
);
COMMENT ON TABLE topic_channel IS 'kind: local. Subscriptions that have the channel, summed over shards; for display.';

CREATE TABLE topic_day (
    topic_id  uuid NOT NULL,
    day       date NOT NULL,
    shard     smallint NOT NULL,
    brand_id  uuid NOT NULL,
    gained    bigint NOT NULL CHECK (gained >= 0),
    lost      bigint NOT NULL CHECK (lost >= 0),
    PRIMARY KEY (topic_id, day, shard)
);
COMMENT ON TABLE topic_day IS 'kind: local. Subscriptions of the topic that got their first channel, and that lost their last one, on a day (UTC), summed over shards.';

-- Of days before this nothing is known.
INSERT INTO topic_channel (topic_id, channel, shard, brand_id, subscribers)
SELECT s.topic_id, c.channel, 0, s.brand_id, count(*)
FROM subscription s
JOIN generate_series(1, 9) AS c (channel) ON s.channels & (1 << c.channel) <> 0
GROUP BY s.topic_id, c.channel, s.brand_id;
