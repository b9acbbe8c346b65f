-- name: live_files
-- all brands: what the catalogue of files names, with the list and the brand of each.
SELECT f.kind, f.id, f.bytes, f.entries, l.name AS list, l.brand_id
FROM (
    SELECT 'run' AS kind, id, list_id, bytes, entries FROM optout_run WHERE replaced_at IS NULL
    UNION ALL
    SELECT 'segment', id, list_id, bytes, entries FROM optout_segment WHERE replaced_at IS NULL
) f
JOIN optout_list l ON l.id = f.list_id
WHERE l.state <> 'deleted'
ORDER BY f.kind, f.id

-- name: awaited_parts
-- all brands: pieces of files that were received and not read yet.
SELECT p.name, p.bytes
FROM optout_part p
JOIN optout_job j ON j.id = p.job_id
WHERE j.state IN ('uploading', 'queued', 'running')
ORDER BY p.name
