-- Links by which a brand's catalogue is read without a login.

CREATE TABLE catalogue_share (
    id          uuid PRIMARY KEY,
    brand_id    uuid NOT NULL,
    note        text NOT NULL CHECK (length(note) <= 200),
    made_by     text NOT NULL CHECK (length(made_by) <= 320),
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
COMMENT ON TABLE catalogue_share IS 'kind: reference. A link by which whoever has it reads what the brand can be called with, until it expires or this row goes. The link is the id under a keyed hash, and is not stored.';
CREATE INDEX catalogue_share_of_brand ON catalogue_share (brand_id, id);
