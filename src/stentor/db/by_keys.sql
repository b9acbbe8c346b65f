-- name: go_by_keys
-- all brands: it touches no row
-- For statements whose rows are all found by their keys. The planner knows nothing of a table that was filled a moment ago,
-- and answers a wave of 500 with a scan of a million people once in a while.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true)
