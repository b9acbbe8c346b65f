-- Opt-out lists: many per brand beside the built-in one. Their bulk lies in files (runs: digest indexes; segments: the
-- entries themselves); what is here is the catalogue of those files, single entries, and the jobs that carry files in and out.
--
-- What exists of these tables is one list per brand and the single entries on it, so that nobody waits long for the locks.
-- squawk-ignore-file adding-field-with-default, constraint-missing-not-valid, require-concurrent-index-creation, ban-drop-constraint

ALTER TABLE optout_list
    ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN code text GENERATED ALWAYS AS (right(replace(id::text, '-', ''), 16)) STORED,
    ADD COLUMN kind text NOT NULL DEFAULT 'plain'
        CONSTRAINT optout_list_kind CHECK (kind IN ('plain', 'md5', 'sha1', 'sha256', 'sha512', 'grouped', 'linked')),
    ADD COLUMN hash text NOT NULL DEFAULT 'md5'
        CONSTRAINT optout_list_hash CHECK (hash IN ('md5', 'sha1', 'sha256', 'sha512')),
    ADD COLUMN channels smallint NOT NULL DEFAULT 6 CONSTRAINT optout_list_channels CHECK (channels IN (2, 4, 6)),
    ADD COLUMN state text NOT NULL DEFAULT 'enabled'
        CONSTRAINT optout_list_state CHECK (state IN ('enabled', 'disabled', 'deleted')),
    ADD COLUMN scope text NOT NULL DEFAULT 'brand'
        CONSTRAINT optout_list_scope CHECK (scope IN ('brand', 'campaigns', 'topics')),
    ADD COLUMN scope_ids uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN members uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN linked_id uuid,
    ADD COLUMN expiry_days integer CONSTRAINT optout_list_expiry CHECK (expiry_days BETWEEN 1 AND 36500),
    ADD COLUMN generation bigint NOT NULL DEFAULT 0,
    ADD COLUMN updated_at timestamptz,
    ADD CONSTRAINT optout_list_by_kind CHECK (
        (kind IN ('plain', 'grouped', 'linked') OR hash = kind)
        AND (kind = 'linked') = (linked_id IS NOT NULL)
        AND (kind = 'grouped' OR members = '{}')
        AND (scope = 'brand') = (scope_ids = '{}')
        AND (NOT built_in OR kind = 'plain' AND hash = 'md5' AND channels = 6 AND scope = 'brand' AND state = 'enabled'
             AND expiry_days IS NULL)
    );
COMMENT ON TABLE optout_list IS 'kind: reference. A suppression list. number: in traces. code: its id on the wire. channels: bits of ChannelKind, 2 e-mail, 4 phone. hash: what its digests are made with; a digest is its first 16 bytes. generation: counts what changed its files.';
CREATE UNIQUE INDEX optout_list_by_number ON optout_list (number);
CREATE UNIQUE INDEX optout_list_by_code ON optout_list (code);
-- A name is free again once its list was deleted.
ALTER TABLE optout_list DROP CONSTRAINT optout_list_brand_id_name_key;
CREATE UNIQUE INDEX optout_list_by_name ON optout_list (brand_id, name) WHERE state <> 'deleted';

CREATE TABLE optout_grant (
    list_id     uuid NOT NULL REFERENCES optout_list,
    grantee_id  uuid NOT NULL REFERENCES brand,
    brand_id    uuid NOT NULL REFERENCES brand,
    granted_at  timestamptz NOT NULL,
    granted_by  text NOT NULL,
    PRIMARY KEY (list_id, grantee_id)
);
COMMENT ON TABLE optout_grant IS 'kind: reference. That another brand may link to a list of this brand, and read it.';
CREATE INDEX optout_grant_by_grantee ON optout_grant (grantee_id);

-- Which lists are asked for a brand's messages, and where their entries lie: a group's in its members, a link's in its target.
CREATE VIEW optout_asked AS
    SELECT l.brand_id, l.id AS list_id, l.number, l.name, l.scope, l.scope_ids,
        s.id AS store_id, s.brand_id AS store_brand_id, s.hash, s.channels & l.channels AS channels, s.expiry_days, s.generation
    FROM optout_list l
    CROSS JOIN LATERAL (
        SELECT l.id WHERE l.kind NOT IN ('grouped', 'linked')
        UNION ALL
        SELECT unnest(l.members) WHERE l.kind = 'grouped'
        UNION ALL
        SELECT l.linked_id WHERE l.kind = 'linked'
    ) m (id)
    JOIN optout_list n ON n.id = m.id AND n.state = 'enabled'
    -- A group may hold links: then their target.
    JOIN optout_list s ON s.id = coalesce(n.linked_id, n.id) AND s.state = 'enabled'
    WHERE l.state = 'enabled'
        AND (s.brand_id = l.brand_id
             OR EXISTS (SELECT FROM optout_grant g WHERE g.list_id = s.id AND g.grantee_id = l.brand_id));

ALTER TABLE optout_recent
    DROP CONSTRAINT optout_recent_cause_check,
    ADD COLUMN address text,
    ADD COLUMN hash bytea,
    ADD COLUMN campaign text NOT NULL DEFAULT '',
    ADD COLUMN affiliate text NOT NULL DEFAULT '',
    ADD COLUMN sub_affiliate text NOT NULL DEFAULT '',
    ADD COLUMN ip text NOT NULL DEFAULT '',
    ADD CONSTRAINT optout_recent_cause
        CHECK (cause IN ('unsubscribe', 'stop', 'bounce', 'complaint', 'api', 'import', 'collect'));
COMMENT ON TABLE optout_recent IS 'kind: local. Single opt-outs by address digest (channel 1 e-mail, 2 phone): durable and effective at once. address: where it is known and the list keeps it; hash: the whole one of a list whose digests are cut from longer ones.';

ALTER TABLE optout_lifted
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN actor text NOT NULL DEFAULT '';
COMMENT ON TABLE optout_lifted IS 'kind: local. Append-only: entries that were taken off a list, each as it was, when, why and by whom. Of one that lay in a file, cause is import and at the time of that file.';

CREATE TABLE optout_removed (
    list_id     uuid NOT NULL,
    digest      bytea NOT NULL CHECK (length(digest) = 16),
    brand_id    uuid NOT NULL,
    generation  bigint NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (list_id, digest)
);
COMMENT ON TABLE optout_removed IS 'kind: local. Entries of runs up to this generation that hold no more. Compaction takes them out of the files, then from here.';

CREATE TABLE optout_generation (
    list_id     uuid NOT NULL,
    generation  bigint NOT NULL,
    brand_id    uuid NOT NULL,
    at          timestamptz NOT NULL,
    what        text NOT NULL,
    PRIMARY KEY (list_id, generation)
);
COMMENT ON TABLE optout_generation IS 'kind: local. Append-only: what made each generation of a list, so that a trace can say which one objected.';

CREATE TABLE optout_run (
    id           uuid PRIMARY KEY,
    list_id      uuid NOT NULL,
    brand_id     uuid NOT NULL,
    generation   bigint NOT NULL,
    entries      bigint NOT NULL CHECK (entries >= 0),
    bytes        bigint NOT NULL CHECK (bytes >= 0),
    cleared      bigint NOT NULL DEFAULT 0,
    learned_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    replaced_at  timestamptz
);
COMMENT ON TABLE optout_run IS 'kind: local. The catalogue of digest indexes: `runs/<id>.index` in the storage. cleared: removals up to this generation were taken out of it. learned_at: of its youngest entry. replaced_at: since when no new reader opens it.';
CREATE INDEX optout_run_of_list ON optout_run (list_id) WHERE replaced_at IS NULL;
CREATE INDEX optout_run_replaced ON optout_run (replaced_at) WHERE replaced_at IS NOT NULL;

CREATE TABLE optout_segment (
    id           uuid PRIMARY KEY,
    list_id      uuid NOT NULL,
    brand_id     uuid NOT NULL,
    generation   bigint NOT NULL,
    entries      bigint NOT NULL CHECK (entries >= 0),
    bytes        bigint NOT NULL CHECK (bytes >= 0),
    cleared      bigint NOT NULL DEFAULT 0,
    learned_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    replaced_at  timestamptz
);
COMMENT ON TABLE optout_segment IS 'kind: local. The catalogue of entries as they were learned: `segments/<id>.parquet` in the storage; else as optout_run.';
CREATE INDEX optout_segment_of_list ON optout_segment (list_id) WHERE replaced_at IS NULL;
CREATE INDEX optout_segment_replaced ON optout_segment (replaced_at) WHERE replaced_at IS NOT NULL;

CREATE TABLE optout_erasure (
    list_id   uuid NOT NULL,
    digest    bytea NOT NULL CHECK (length(digest) = 16),
    brand_id  uuid NOT NULL,
    asked_at  timestamptz NOT NULL,
    PRIMARY KEY (list_id, digest)
);
COMMENT ON TABLE optout_erasure IS 'kind: local. Whose address compaction must take out of a list''s segments; the digest stays.';

CREATE TABLE optout_job (
    id              uuid PRIMARY KEY,
    brand_id        uuid NOT NULL REFERENCES brand,
    list_id         uuid,
    kind            text NOT NULL CHECK (kind IN ('import', 'export', 'scrub')),
    state           text NOT NULL CHECK (state IN ('uploading', 'queued', 'running', 'success', 'failed', 'removed')),
    spec            jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(spec) = 'object'),
    asked_by        text NOT NULL DEFAULT '',
    declared_bytes  bigint CHECK (declared_bytes >= 0),
    received_bytes  bigint NOT NULL DEFAULT 0 CHECK (received_bytes >= 0),
    encoding        text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    upload_until    timestamptz,
    upload_epoch    bigint NOT NULL DEFAULT 0,
    ready_at        timestamptz,
    started_at      timestamptz,
    ended_at        timestamptz,
    kept_until      timestamptz,
    worker          text NOT NULL DEFAULT '',
    claimed_until   timestamptz,
    epoch           bigint NOT NULL DEFAULT 0,
    deaths          smallint NOT NULL DEFAULT 0,
    progress        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(progress) = 'object'),
    submitted       bigint NOT NULL DEFAULT 0,
    added           bigint NOT NULL DEFAULT 0,
    duplicate       bigint NOT NULL DEFAULT 0,
    malformed       bigint NOT NULL DEFAULT 0,
    message         text NOT NULL DEFAULT '',
    results         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(results) = 'object'),
    CONSTRAINT optout_job_books CHECK (kind <> 'import' OR state <> 'success' OR submitted = added + duplicate + malformed)
);
COMMENT ON TABLE optout_job IS 'kind: local. A file on its way into a list, out of it or past it. uploading: its file is awaited. worker, claimed_until, epoch: who works on it. results: its files, by name.';
CREATE INDEX optout_job_to_do ON optout_job (created_at) WHERE state IN ('queued', 'running');
CREATE INDEX optout_job_of_brand ON optout_job (brand_id, created_at DESC);
CREATE INDEX optout_job_of_list ON optout_job (list_id, created_at DESC);
CREATE INDEX optout_job_to_forget ON optout_job (kept_until) WHERE kept_until IS NOT NULL;

CREATE TABLE optout_part (
    job_id      uuid NOT NULL REFERENCES optout_job ON DELETE CASCADE,
    start_byte  bigint NOT NULL CHECK (start_byte >= 0),
    brand_id    uuid NOT NULL,
    name        text NOT NULL,
    bytes       bigint NOT NULL CHECK (bytes > 0),
    PRIMARY KEY (job_id, start_byte)
);
COMMENT ON TABLE optout_part IS 'kind: local. What was received of a file, piece by piece: objects in the storage that together are the file.';
