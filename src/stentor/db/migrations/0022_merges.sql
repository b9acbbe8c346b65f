-- Two profiles of one person become one. What is left of the other is who it was.

CREATE TABLE customer_merged (
    part         smallint NOT NULL,
    customer_id  uuid NOT NULL,
    brand_id     uuid NOT NULL,
    external_id  text NOT NULL,
    merged_into  uuid NOT NULL,
    merged_at    timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (part, customer_id)
);
COMMENT ON TABLE customer_merged IS 'kind: people. Who was merged into somebody else: a tombstone, under which their history stays. merged_into is always a customer who is there: a merge moves the tombstones of the one who goes. Changed only under the lock of that customer.';
CREATE INDEX customer_merged_into ON customer_merged (brand_id, merged_into);
