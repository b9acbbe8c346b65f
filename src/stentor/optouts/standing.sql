-- name: standing
-- all brands: what an operator's monitoring asks for.
SELECT
    (SELECT count(*) FROM optout_list WHERE state <> 'deleted') AS lists,
    r.files AS runs, r.bytes AS run_bytes, r.most AS most_runs,
    s.files AS segments, s.bytes AS segment_bytes, s.entries,
    j.uploading, j.queued, j.running, j.oldest_queued_s,
    coalesce((SELECT extract(epoch FROM :now - min(asked_at)) FROM optout_erasure), 0)::float8 AS oldest_erasure_s
FROM (
    SELECT coalesce(sum(l.files), 0)::bigint AS files, coalesce(sum(l.bytes), 0)::bigint AS bytes,
        coalesce(max(l.files), 0)::bigint AS most
    FROM (SELECT count(*) AS files, sum(bytes) AS bytes FROM optout_run WHERE replaced_at IS NULL GROUP BY list_id) l
) r
CROSS JOIN (
    SELECT count(*) AS files, coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(sum(entries), 0)::bigint AS entries
    FROM optout_segment WHERE replaced_at IS NULL
) s
CROSS JOIN (
    SELECT count(*) FILTER (WHERE state = 'uploading') AS uploading, count(*) FILTER (WHERE state = 'queued') AS queued,
        count(*) FILTER (WHERE state = 'running') AS running,
        coalesce(extract(epoch FROM :now - min(ready_at) FILTER (WHERE state = 'queued')), 0)::float8 AS oldest_queued_s
    FROM optout_job WHERE state IN ('uploading', 'queued', 'running')
) j
