-- What is over is said in one place, and turns of paused runs leave what the keeper looks through each second.
--
-- Turns are few beside sends: nobody waits long for the locks.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion

-- Whether an execution has ended and of it, and of its steps, which say its words, nobody waits or is in doubt, and no remedy and no
-- experiment's winner is to come: what retention may take.
CREATE FUNCTION nothing_is_open(of_brand uuid, of_execution uuid) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (
            SELECT FROM execution e
            WHERE e.id = of_execution AND e.brand_id = of_brand AND e.ended_at IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM stepping p WHERE p.execution_id IN (e.id, e.parent_id) AND p.brand_id = of_brand AND p.ended_at IS NULL
                )
                AND (e.state IN ('cancelled', 'failed') OR NOT EXISTS (
                    SELECT FROM experiment x
                    WHERE x.execution_id = e.id AND x.brand_id = of_brand AND x.outcome IS NULL
                        AND (x.decide_at IS NOT NULL OR x.undecided IS NOT NULL)
                ))
        )
        AND NOT EXISTS (
            SELECT FROM (
                SELECT of_execution AS id
                UNION ALL
                SELECT c.id FROM execution c WHERE c.parent_id = of_execution AND c.brand_id = of_brand AND c.step > 0
            ) f
            WHERE EXISTS (SELECT FROM remedy r WHERE r.execution_id = f.id AND r.brand_id = of_brand AND r.done_at IS NULL)
                OR EXISTS (
                    SELECT FROM tally t
                    WHERE t.execution_id = f.id AND t.brand_id = of_brand AND t.state IN (0, 1, 5)
                    GROUP BY t.state
                    HAVING sum(t.sends) > 0
                )
        );
END
$$;

ALTER TABLE step_turn ADD COLUMN parked_at timestamptz;
COMMENT ON COLUMN step_turn.parked_at IS 'When the keeper set it aside, because its run was paused as it fell due; null again once that is resumed.';

DROP INDEX step_turn_to_start;
CREATE INDEX step_turn_to_start ON step_turn (due_at) WHERE started_at IS NULL AND dropped_at IS NULL AND parked_at IS NULL;
