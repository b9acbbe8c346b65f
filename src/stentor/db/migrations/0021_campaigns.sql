-- What schedules start beside event generators, and how an execution is paced. What a clock on a wall shows has no zone, and that
-- is what local_at is.
--
-- Schedules and executions are few beside sends, so that nobody waits long for the locks.
-- squawk-ignore-file adding-field-with-default, constraint-missing-not-valid, prefer-timestamp-tz

ALTER TABLE schedule
    ADD COLUMN campaign_id uuid,
    ADD COLUMN audience jsonb CHECK (jsonb_typeof(audience) = 'object'),
    ADD COLUMN in_their_zones boolean NOT NULL DEFAULT false,
    ADD COLUMN spread_s integer NOT NULL DEFAULT 0 CHECK (spread_s >= 0),
    ADD COLUMN per_hour integer CHECK (per_hour > 0),
    ADD CHECK ((campaign_id IS NULL) = (audience IS NULL)),
    ADD CHECK ((campaign_id IS NULL) <> (generator_id = '')),
    ADD CHECK (campaign_id IS NOT NULL OR NOT in_their_zones AND spread_s = 0 AND per_hour IS NULL);
COMMENT ON TABLE schedule IS 'kind: local. A call of an event generator, or a run of a campaign for an audience, that is made by the clock of time_zone: at a time, or by a cron rule. in_their_zones: when that clock shows it, the run starts, and each person is written to when their own does. spread_s, per_hour: how a run is paced. Everything until seen is decided; next is the alarm, worked out anew from the rule and seen when it rings.';

ALTER TABLE execution
    ADD COLUMN local_at timestamp,
    ADD COLUMN spread_s integer NOT NULL DEFAULT 0 CHECK (spread_s >= 0),
    ADD COLUMN per_hour integer CHECK (per_hour > 0);
COMMENT ON COLUMN execution.local_at IS 'What everybody''s own clock shows when they are written to; null: whoever starts first is written to first.';
COMMENT ON COLUMN execution.spread_s IS 'Over how many seconds its people are spread, in the order of their ids.';
COMMENT ON COLUMN execution.per_hour IS 'How many people may fall due in an hour.';
