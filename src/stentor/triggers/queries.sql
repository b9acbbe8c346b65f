-- name: open_bucket
-- A new bucket is full.
INSERT INTO run_bucket (brand_id, tokens, refilled_at) VALUES (:brand_id, :rate_per_s, :now)
ON CONFLICT (brand_id) DO NOTHING

-- name: admit
-- One statement for a whole batch: it takes what tokens there are and stores as many executions, first come first served,
-- and answers which. The calls come as one JSON text because ten arrays cost the caller 40 µs per row to write, JSON 8.
-- Buckets are locked in brand order. A bucket that another process held meanwhile has a later stamp than this statement;
-- its time must not run backwards.
WITH call AS MATERIALIZED (
    SELECT c.*, row_number() OVER (PARTITION BY c.brand_id ORDER BY c.arrival) AS place
    FROM ROWS FROM (jsonb_to_recordset(:calls) AS (
        id uuid, brand_id uuid, rate_per_s double precision, publication_id uuid, generator_id text, topic_key text,
        context jsonb, lane smallint, is_test boolean, triggered_by text,
        deadline_s integer, start_at timestamptz, recipients smallint, request_id text
    )) WITH ORDINALITY AS c (
        id, brand_id, rate_per_s, publication_id, generator_id, topic_key, context, lane, is_test, triggered_by, deadline_s,
        start_at, recipients, request_id, arrival
    )
), bucket AS MATERIALIZED (
    SELECT b.brand_id, w.calls,
        least(w.rate_per_s, b.tokens + w.rate_per_s * greatest(0, extract(epoch FROM :now - b.refilled_at))) AS tokens
    FROM (SELECT brand_id, max(rate_per_s) AS rate_per_s, count(*) AS calls FROM call GROUP BY brand_id) w
    JOIN run_bucket b ON b.brand_id = w.brand_id
    ORDER BY b.brand_id
    FOR UPDATE OF b
), taken AS (
    UPDATE run_bucket b
    SET tokens = k.tokens - least(k.calls, floor(k.tokens)), refilled_at = greatest(b.refilled_at, :now)
    FROM bucket k
    WHERE b.brand_id = k.brand_id
    RETURNING b.brand_id, least(k.calls, floor(k.tokens)) AS calls
)
INSERT INTO execution (id, brand_id, publication_id, generator_id, topic_key, context, lane, is_test, triggered_by, state,
    created_at, status_at, start_at, deadline_at, recipients, request_id)
SELECT c.id, c.brand_id, c.publication_id, c.generator_id, c.topic_key, c.context, c.lane, c.is_test, c.triggered_by,
    CASE WHEN c.start_at > :now THEN 'scheduled' ELSE 'queued' END, :now, :now, c.start_at,
    greatest(:now, c.start_at) + make_interval(secs => c.deadline_s), c.recipients, coalesce(c.request_id, '')
FROM call c
JOIN taken t ON t.brand_id = c.brand_id
WHERE c.place <= t.calls
RETURNING id
