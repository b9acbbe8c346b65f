-- Events of customers: only added to, and dropped month by month.

-- name: add_events
-- Of customers who are there, and stay there until the events are theirs; one that was told before is not told again.
INSERT INTO customer_event (part, customer_id, brand_id, at, event_id, name, properties)
SELECT c.part, c.customer_id, :brand_id, n.at, n.event_id, n.name, n.properties::jsonb
FROM unnest(:parts::smallint[], :customer_ids::uuid[], :times::timestamptz[], :event_ids::uuid[], :names::text[], :properties::text[])
    AS n (part, customer_id, at, event_id, name, properties)
JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id AND c.brand_id = :brand_id
ON CONFLICT (part, customer_id, name, at, event_id) DO NOTHING
RETURNING customer_id, name, at, event_id

-- name: lock_people
-- In the order of their ids, so that two who tell of the same people never wait crosswise.
SELECT customer_id
FROM customer
WHERE part = ANY(:parts::smallint[]) AND customer_id = ANY(:customer_ids::uuid[]) AND brand_id = :brand_id AND NOT anonymous
ORDER BY part, customer_id
FOR KEY SHARE

-- name: missing_event_months
-- all brands: events are partitioned by time, not by brand.
-- As far back as events are taken, and ahead.
SELECT m.month AT TIME ZONE 'UTC'
FROM generate_series(
        date_trunc('month', (:now - make_interval(days => :days)) AT TIME ZONE 'UTC'),
        :now AT TIME ZONE 'UTC' + make_interval(months => :ahead), interval '1 month'
    ) AS m (month)
WHERE to_regclass(to_char(m.month, '"customer_event_"YYYY"m"MM')) IS NULL
ORDER BY 1

-- name: make_event_month
-- all brands: events are partitioned by time, not by brand.
SELECT make_event_month(:month)

-- name: drop_event_month
-- all brands: events are partitioned by time, not by brand.
SELECT CASE
    WHEN EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL) THEN 0
    ELSE drop_event_month(:now - make_interval(days => :days))
END

-- name: drop_event_strays
-- all brands: events are partitioned by time, not by brand.
SELECT CASE
    WHEN EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL) THEN 0
    ELSE drop_event_strays(:now - make_interval(days => :days), :limit)
END
