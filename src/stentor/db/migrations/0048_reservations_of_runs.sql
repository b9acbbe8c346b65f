-- What lists reserved under caps is given back by run, and not by list: of a freeze that was killed there is no list to go by, and two
-- clients' lists reserve the same people.
-- squawk-ignore-file require-concurrent-index-creation, ban-drop-column

ALTER TABLE pulled_run ADD COLUMN settled_to smallint;
COMMENT ON COLUMN pulled_run.settled_to IS 'Null until its people hold reservations under caps. Then the next part whose people, once the execution is over, have given back what nobody used; after the last part it is 4096.';
UPDATE pulled_run r
SET settled_to = 0
WHERE EXISTS (SELECT FROM pull p WHERE p.execution_id = r.execution_id AND p.channel_number = r.channel_number AND p.capped);
CREATE INDEX pulled_run_to_settle ON pulled_run (execution_id, channel_number) WHERE settled_to < 4096;

ALTER TABLE pull DROP COLUMN capped, DROP COLUMN settled_at;
COMMENT ON TABLE pull IS 'kind: local. A list of send details as it was frozen for a client (puller_id: a hub client, or an API key): rows of them, at the positions from 0 on; before leased_to all were leased. Without frozen_at it is being frozen, or whoever froze it died. replaced_at: the next one was frozen, and its rows go (dropped_at).';

CREATE FUNCTION pages_under_way(which uuid, instant timestamptz) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT FROM pull p
        JOIN pull_page g ON g.pull_id = p.id
        WHERE p.execution_id = which AND g.handed_over_at IS NULL AND g.lease_until IS NULL
            AND g.asked_at > instant - interval '5 minutes'
    )
$$;
COMMENT ON FUNCTION pages_under_way IS 'Whether pages of an execution were sent whose people are still to be handed over: they are not let go to be skipped before. What nobody has handed over after five minutes keeps nobody.';
