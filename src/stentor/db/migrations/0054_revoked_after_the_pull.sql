-- What connectors know of their hubs' lists: whom a hub revoked after the pull, whom no customer could be made of, and hubs that are left.
-- And what clients of our own hub may change of people, and clear of a run: each on its own channels.
--
-- Connectors are few, and clearances lie there for a month: their new keys are made in a moment.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, ban-drop-constraint, adding-not-nullable-field, prefer-bigint-over-smallint, prefer-bigint-over-int, ban-drop-default, constraint-missing-not-valid, adding-serial-primary-key-field

ALTER TABLE execution ADD COLUMN has_revoked boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN execution.has_revoked IS 'Somebody of it stands in send_revocation, so that each wave asks who.';

CREATE TABLE send_revocation (
    execution_id  uuid NOT NULL,
    customer_id   uuid NOT NULL,
    brand_id      uuid NOT NULL,
    at            timestamptz NOT NULL,
    part          smallint NOT NULL,
    PRIMARY KEY (execution_id, part, customer_id)
);
COMMENT ON TABLE send_revocation IS 'kind: people. Who must not be written to by an execution any more, whatever is known of them here: the hub that named them said so after the pull.';
CREATE INDEX send_revocation_by_person ON send_revocation (part, customer_id);

ALTER TABLE connector_run
    ADD COLUMN revoked integer NOT NULL DEFAULT 0,
    ADD COLUMN heard_to integer NOT NULL DEFAULT 0,
    ADD COLUMN is_deaf boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN connector_run.heard_to IS 'The number of the last revocation that was read of the hub''s feed; revoked counts those who were among the run''s people. is_deaf: the hub has no such feed.';
ALTER TABLE connector_person ADD COLUMN revoked_at timestamptz;
CREATE INDEX connector_person_revoked ON connector_person (run_id) WHERE revoked_at IS NOT NULL;

CREATE TABLE connector_refused (
    run_id           uuid NOT NULL,
    customer_id      uuid NOT NULL,
    brand_id         uuid NOT NULL,
    pulled_at        timestamptz NOT NULL,
    row_number       integer NOT NULL,
    template_number  integer NOT NULL,
    part             smallint NOT NULL,
    is_told          boolean NOT NULL DEFAULT false,
    external_id      text NOT NULL,
    why              text NOT NULL,
    PRIMARY KEY (run_id, row_number, part, customer_id)
);
COMMENT ON TABLE connector_refused IS 'kind: people. Rows of a hub''s list that no customer was made of, and why: their CustomerID there, and whether the hub was told that they were dropped. customer_id is made of the id that was said, also where nobody can have it.';
CREATE INDEX connector_refused_by_person ON connector_refused (part, customer_id);

ALTER TABLE connector ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN connector.deleted_at IS 'From when on it is nobody''s any more. It goes when its hub has been told, and a day later at the latest.';
ALTER TABLE connector DROP CONSTRAINT connector_brand_id_name_key;
CREATE UNIQUE INDEX connector_name ON connector (brand_id, name) WHERE deleted_at IS NULL;
DROP INDEX connector_to_sync;
CREATE INDEX connector_to_sync ON connector (sync_at) WHERE enabled OR listener_url <> '' OR deleted_at IS NOT NULL;

ALTER TABLE client_channel ADD COLUMN writes text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN client_channel.writes IS 'Attributes of the brand''s own that the client may change, of anybody in the brand; attributes is what it may read.';
-- Until now what was granted to be read was granted to be changed, and clients rely on it. Fields were never theirs to change.
UPDATE client_channel c
SET writes = ARRAY(SELECT a FROM unnest(c.attributes) AS a WHERE a NOT IN ('Email', 'Phone', 'PushTokens', 'Locale', 'TimeZone'))
WHERE c.attributes <> '{}';

-- What was told so far was told for all channels of the run.
ALTER TABLE clearance ADD COLUMN channel_number integer NOT NULL DEFAULT 0;
ALTER TABLE clearance DROP CONSTRAINT clearance_pkey;
INSERT INTO clearance (execution_id, part, customer_id, brand_id, cleared, told_at, channel_number)
SELECT x.execution_id, x.part, x.customer_id, x.brand_id, x.cleared, x.told_at, n.number
FROM clearance x
JOIN partner_run r ON r.execution_id = x.execution_id
CROSS JOIN LATERAL unnest(r.channels || r.held_channels) AS n (number);
DELETE FROM clearance WHERE channel_number = 0;
ALTER TABLE clearance ALTER COLUMN channel_number DROP DEFAULT;
ALTER TABLE clearance ADD PRIMARY KEY (execution_id, part, customer_id, channel_number);
COMMENT ON TABLE clearance IS 'kind: people. What was last told of a person for a run that has to be cleared, on one of its partner channels; of whom nothing was told there is not cleared there. It goes when the run was released, a month later at the latest.';

CREATE INDEX pull_large ON pull (brand_id, rows) WHERE emptied_at IS NULL AND rows >= 1000;

CREATE OR REPLACE FUNCTION pages_under_way(which uuid, instant timestamptz) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT FROM pull p
        JOIN pull_page g ON g.pull_id = p.id
        WHERE p.execution_id = which AND g.handed_over_at IS NULL AND g.lease_until IS NULL
            AND g.asked_at > instant - interval '5 minutes'
    ) OR EXISTS (
        SELECT FROM pull p
        JOIN pull_sending s ON s.pull_id = p.id
        WHERE p.execution_id = which AND s.begun_at > instant - interval '5 minutes'
    )
$$;
COMMENT ON FUNCTION pages_under_way IS 'Whether pages of an execution are being sent, or were and their people are still to be handed over: they are not let go to be skipped before. What nobody has noted or handed over after five minutes keeps nobody.';
