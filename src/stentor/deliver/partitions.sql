-- name: make_weeks
-- all brands: sends are partitioned by time, not by brand.
-- The weeks ahead: a partition that exists costs nothing, a missing one sends everybody to the catch-all.
SELECT sum(make_week(:now + make_interval(days => 7 * w.week)))::integer
FROM generate_series(0, :ahead) AS w (week)
