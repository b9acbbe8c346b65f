-- name: give_way
-- all brands: sends are partitioned by time, not by brand.
-- Whoever makes a partition needs the catch-all alone for a moment, and whoever drops one its parent. Behind those who wait
-- for that, everybody else would wait too.
SELECT set_config('lock_timeout', '200ms', true)

-- name: make_week
-- all brands: sends are partitioned by time, not by brand.
-- The weeks ahead: a partition that exists costs nothing, a missing one sends everybody to the catch-all.
SELECT make_week(:now + make_interval(days => 7 * :week))
