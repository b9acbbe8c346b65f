-- name: endable
-- all brands: the ids come from chunks that this worker just finished, or from the keeper's sweep.
-- Where nothing is open, no send changes: what could change one opens a chunk, plans a slice, or is a remedy.
SELECT e.id, e.brand_id, e.state, e.slices_left, e.remedies, e.audience_size
FROM execution e
WHERE e.id = ANY(:execution_ids) AND e.state IN ('sending', 'cancelled', 'failed') AND e.ended_at IS NULL
    AND NOT EXISTS (SELECT FROM chunk c WHERE c.execution_id = e.id AND c.done_at IS NULL)
    AND NOT EXISTS (SELECT FROM remedy r WHERE r.execution_id = e.id AND r.done_at IS NULL)
ORDER BY e.id

-- name: end
-- all brands: the ids come from chunks that this worker just finished, or from the keeper's sweep.
-- Only as they were before their rows were counted: a slice, a remedy or a cancellation that came in between changed its own row.
UPDATE execution e
SET state = CASE e.state WHEN 'sending' THEN 'ended' ELSE e.state END, ended_at = :now
FROM unnest(:execution_ids::uuid[], :states::text[], :slices_left::integer[], :remedies::integer[])
    AS w (id, state, slices_left, remedies)
WHERE e.id = w.id AND e.state = w.state AND e.slices_left = w.slices_left AND e.remedies = w.remedies AND e.ended_at IS NULL
RETURNING e.id, e.brand_id

-- name: drop_slices
-- What a cancelled or failed execution leaves unplanned would stay first in its lane, to be passed over by every planner for
-- ever. One that is being planned right now is locked, and lands all the same.
DELETE FROM slice
WHERE (execution_id, number) IN (
    SELECT s.execution_id, s.number
    FROM unnest(:execution_ids::uuid[], :brand_ids::uuid[]) AS w (execution_id, brand_id)
    JOIN slice s ON s.execution_id = w.execution_id AND s.brand_id = w.brand_id
    WHERE s.planned_at IS NULL
    FOR UPDATE OF s SKIP LOCKED
)

-- name: forgotten
-- all brands: the keeper's sweep over executions whose last worker died before it could end them.
SELECT e.id
FROM execution e
WHERE e.state IN ('sending', 'cancelled', 'failed') AND e.ended_at IS NULL
    AND NOT EXISTS (SELECT FROM chunk c WHERE c.execution_id = e.id AND c.done_at IS NULL)
    AND NOT EXISTS (SELECT FROM remedy r WHERE r.execution_id = e.id AND r.done_at IS NULL)
LIMIT :limit
