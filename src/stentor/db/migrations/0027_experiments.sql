-- A/B tests: the arms of a campaign, who is in which, and the run of the winner for the rest.
--
-- Campaigns, executions and experiments are few beside sends, so that nobody waits long for the locks.
-- squawk-ignore-file require-concurrent-index-creation

ALTER TABLE campaign ADD COLUMN experiment jsonb CHECK (jsonb_typeof(experiment) = 'object');
COMMENT ON COLUMN campaign.experiment IS 'Arms with their shares, a holdout, and how the winner is found; null: everybody gets the same.';

ALTER TABLE execution ADD COLUMN parent_id uuid;
COMMENT ON COLUMN execution.parent_id IS 'The execution that it goes on from, and whose people it takes: its experiment''s winner, for the rest.';
CREATE INDEX execution_by_parent ON execution (parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE cast_member ADD COLUMN arm smallint;
COMMENT ON COLUMN cast_member.arm IS 'Where an experiment puts them: the number of an arm, 8: held out, 9: waiting for the winner; null: there is none. Of who is in no arm, routes are all those whose conditions held.';

-- As before, without who is in no arm: they are in the cast and not planned.
CREATE OR REPLACE VIEW cast_people AS
SELECT brand_id, execution_id AS audience_id, part, customer_id, routes AS meant
FROM cast_member
WHERE coalesce(arm, 0) < 8;

-- Where a campaign's experiment puts a person, from 0 to 2^32 - 1: always the same place. Other bytes of the hash than those by
-- which the campaign's policy holds people out, and another hash than samples have, so that neither says anything of the other.
CREATE FUNCTION arm_point(campaign_id uuid, customer_id uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ('x' || encode(substring(sha256(uuid_send(campaign_id) || uuid_send(customer_id)) FROM 5 FOR 4), 'hex'))::bit(32)::bigint
$$;

-- Of a mask of routes the first on each channel; channels: for each, the mask of its routes.
CREATE FUNCTION first_routes(held bigint, channels bigint[]) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(bit_or((held & m) & -(held & m)), 0) FROM unnest(channels) AS m
$$;

CREATE TABLE experiment (
    execution_id  uuid PRIMARY KEY REFERENCES execution ON DELETE CASCADE,
    brand_id      uuid NOT NULL,
    people        integer[] NOT NULL,
    held_out      integer NOT NULL CHECK (held_out >= 0),
    waiting       integer NOT NULL CHECK (waiting >= 0),
    decide_at     timestamptz,
    undecided     text CHECK (undecided IN ('tie', 'no_evidence')),
    outcome       text CHECK (outcome IN ('won', 'nobody', 'cancelled')),
    winner        smallint CHECK (winner BETWEEN 0 AND 7),
    run_id        uuid,
    decided_by    text NOT NULL DEFAULT '',
    decided_at    timestamptz,
    CHECK ((outcome IS NULL) = (decided_at IS NULL)),
    CHECK ((winner IS NULL) = (run_id IS NULL)),
    CHECK ((coalesce(outcome, '') = 'won') = (winner IS NOT NULL))
);
COMMENT ON TABLE experiment IS 'kind: local. The A/B test of one execution, made with its cast: people of each arm, held out, and waiting for the winner. decide_at: when the winner is looked for; null: no more, or never. undecided: why nobody was found then. run_id: the execution that the winner has for the rest.';
CREATE INDEX experiment_to_decide ON experiment (decide_at) WHERE outcome IS NULL AND decide_at IS NOT NULL;
