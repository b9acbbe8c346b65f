-- name: clock
SELECT :now

-- name: claim_addresses
-- The first customer to be written to at a shared address claims it for the execution; a row of the same customer is no
-- conflict. Inserted in (shard, digest) order, so that two waves never wait for each other crosswise.
INSERT INTO address_claim (shard, execution_id, channel, digest, brand_id, customer_id)
SELECT c.shard, c.execution_id, :channel, c.digest, :brand_id, c.customer_id
FROM unnest(:shards::smallint[], :execution_ids::uuid[], :digests::bytea[], :customer_ids::uuid[])
    AS c (shard, execution_id, digest, customer_id)
ORDER BY c.shard, c.execution_id, c.digest, c.customer_id
ON CONFLICT (shard, execution_id, channel, digest) DO NOTHING

-- name: lost_addresses
-- Who of these people found the address claimed by another.
SELECT c.execution_id, c.customer_id
FROM unnest(:shards::smallint[], :execution_ids::uuid[], :digests::bytea[], :customer_ids::uuid[])
    AS c (shard, execution_id, digest, customer_id)
JOIN address_claim a
    ON a.shard = c.shard AND a.execution_id = c.execution_id AND a.channel = :channel AND a.digest = c.digest
WHERE a.brand_id = :brand_id AND a.customer_id <> c.customer_id

-- name: claimant
-- Who has an address in an execution.
SELECT a.customer_id
FROM address_claim a
WHERE a.shard = :shard AND a.execution_id = :execution_id AND a.channel = :channel AND a.digest = :digest AND a.brand_id = :brand_id

-- name: release_addresses
-- A definite refusal frees the address for the next person who shares it.
DELETE FROM address_claim a
USING unnest(:execution_ids::uuid[], :customer_ids::uuid[]) AS c (execution_id, customer_id)
WHERE a.execution_id = c.execution_id AND a.customer_id = c.customer_id AND a.channel = :channel AND a.brand_id = :brand_id

-- name: forget_claims
-- all brands: claims are of use while an execution sends; execution ids are in the order of time.
DELETE FROM address_claim
WHERE execution_id < uuid_floor(:now - :age::interval)
    AND execution_id IN (
        SELECT execution_id FROM address_claim WHERE execution_id < uuid_floor(:now - :age::interval) ORDER BY execution_id LIMIT :limit
    )
