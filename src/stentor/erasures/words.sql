-- What people left in texts that are kept by something else than their id, and that has to be searched for by what it says.

-- name: last_of_answers
-- Where the next page of a brand's kept answers ends; null behind the last one.
SELECT max(k.key)
FROM (
    SELECT key FROM idempotency_key WHERE brand_id = :brand_id AND key > :after ORDER BY key LIMIT :limit
) k

-- name: blank_answers
-- The key stays used, so that an equal call is not carried out again.
UPDATE idempotency_key k
SET status = 410, headers = :headers, body = :body
WHERE k.brand_id = :brand_id AND k.key > :after AND k.key <= :until AND k.status <> 410
    AND EXISTS (SELECT FROM unnest(:needles::bytea[]) AS n (needle) WHERE position(n.needle IN k.body) > 0)

-- name: blank_rejects
UPDATE import_reject r
SET reason = 'This line was about somebody who was erased since.'
WHERE r.brand_id = :brand_id
    AND EXISTS (SELECT FROM unnest(:texts::text[]) AS n (said) WHERE strpos(r.reason, n.said) > 0)
