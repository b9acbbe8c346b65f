-- What caps count, and who is held out.

CREATE TABLE contact (
    brand_id      uuid NOT NULL,
    part          smallint NOT NULL,
    channel       smallint NOT NULL,
    customer_id   uuid NOT NULL,
    execution_id  uuid NOT NULL,
    at            timestamptz NOT NULL,
    doubted_at    timestamptz,
    campaign_id   uuid NOT NULL,
    topic_id      uuid,
    tags          text[],
    PRIMARY KEY (part, customer_id, execution_id, channel)
    -- Room for a second version on the same page: settling then touches no index.
) WITH (fillfactor = 60);
COMMENT ON TABLE contact IS 'kind: people. A message that a frequency cap counts: at is infinity while it is on the wire, then when it was accepted or given up in doubt (doubted_at), or -infinity when it was refused.';

-- Why an execution of this campaign leaves out this person for good: 14 (holdout) or 0. The twin of guard/holdout.py: the
-- first four bytes of a hash of both ids, below a threshold that is the share of 2^32.
CREATE FUNCTION holdout_objection(campaign_id uuid, customer_id uuid, threshold bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (CASE
        WHEN threshold = 0 THEN 0
        WHEN ('x' || encode(substring(sha256(uuid_send(campaign_id) || uuid_send(customer_id)) FROM 1 FOR 4), 'hex'))::bit(32)::bigint
            < threshold THEN 14
        ELSE 0
    END)::smallint
$$;
