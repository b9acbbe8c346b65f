-- Runs of campaigns that are published themselves.

-- name: insert_run
INSERT INTO execution (id, brand_id, publication_id, campaign_id, audience, awaits_cast, context, lane, is_test, triggered_by, state,
    created_at, status_at, start_at, spread_s, per_hour, deadline_at, request_id)
VALUES (:id, :brand_id, :publication_id, :campaign_id, :audience, true, :context, :lane, :is_test, :triggered_by,
    CASE WHEN :start_at::timestamptz NOT BETWEEN :now - make_interval(secs => :tolerance_s) AND :now THEN 'scheduled' ELSE 'queued' END,
    :now, :now, :start_at::timestamptz, :spread_s, :per_hour,
    greatest(:now, :start_at::timestamptz) + make_interval(secs => :deadline_s::double precision), :request_id)
