-- A restored copy decides no experiment by numbers: its reason to ask. Experiments are few.
-- squawk-ignore-file ban-drop-constraint

ALTER TABLE experiment DROP CONSTRAINT experiment_undecided_check;
ALTER TABLE experiment ADD CONSTRAINT experiment_undecided_check CHECK (undecided IN ('tie', 'no_evidence', 'restored')) NOT VALID;
COMMENT ON TABLE experiment IS 'kind: local. The A/B test of one execution, made with its cast: people of each arm, held out, and waiting for the winner. decide_at: when the winner is looked for; null: no more, or never. undecided: why nobody was found then; restored: a copy does not know whether the installation that was copied found one. run_id: the execution that the winner has for the rest.';
