-- Tags, and batches of people that a caller hands over with one call.

CREATE TABLE tag (
    id          uuid PRIMARY KEY,
    brand_id    uuid NOT NULL,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 300),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (brand_id, name)
);
COMMENT ON TABLE tag IS 'kind: local. A name that people of a brand were given; each batch makes one of its own, so there are as many as calls.';
CREATE INDEX tag_by_brand ON tag (brand_id, id);

CREATE TABLE customer_tag (
    part         smallint NOT NULL,
    customer_id  uuid NOT NULL,
    tag_id       uuid NOT NULL,
    brand_id     uuid NOT NULL,
    place        bigint NOT NULL,
    tagged_at    timestamptz NOT NULL,
    PRIMARY KEY (tag_id, part, customer_id) INCLUDE (brand_id)
);
COMMENT ON TABLE customer_tag IS 'kind: people. Who has a tag. place: where in the batch the person stood, the line of a stream, 0 for one who was tagged singly.';
CREATE INDEX customer_tag_by_person ON customer_tag (part, customer_id);

CREATE TABLE batch (
    id             uuid PRIMARY KEY,
    brand_id       uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('call', 'stream')),
    tag_id         uuid REFERENCES tag ON DELETE SET NULL,
    campaign_id    uuid,
    campaign_name  text NOT NULL DEFAULT '',
    start_at       timestamptz,
    schedule_id    uuid,
    execution_id   uuid,
    profiles       bigint NOT NULL CHECK (profiles >= 0),
    is_test        boolean NOT NULL,
    made_by        text NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    scheduled_at   timestamptz,
    CHECK ((campaign_id IS NULL) = (start_at IS NULL)),
    CHECK ((schedule_id IS NULL) = (start_at IS NULL)),
    CHECK ((scheduled_at IS NULL) = (start_at IS NULL)),
    CHECK (execution_id IS NULL OR start_at IS NOT NULL)
);
COMMENT ON TABLE batch IS 'kind: local. Profiles that came together, by a call or as a stream (an import of the same id), and what is to be run for them: the execution waits for start_at, and is another one when that is changed; schedule_id is what callers know both by, scheduled_at when either was changed last. A stream has no execution before it came to its end.';
CREATE INDEX batch_by_brand ON batch (brand_id, id);
CREATE INDEX batch_by_tag ON batch (tag_id) WHERE tag_id IS NOT NULL;
CREATE INDEX batch_by_schedule ON batch (brand_id, schedule_id) WHERE schedule_id IS NOT NULL;

-- A batch's stream is an import too. What the old rule let in the new one lets in as well, so nothing needs to be read for it.
-- squawk-ignore ban-drop-constraint
ALTER TABLE import_job DROP CONSTRAINT import_job_kind_check;
ALTER TABLE import_job ADD CONSTRAINT import_job_kind_check CHECK (kind IN ('customers', 'subscriptions', 'profiles')) NOT VALID;
