-- How many people did what with an execution's messages, so that nobody has to count histories for it; and where in these the
-- troubles lie, a few among what was delivered. And which request started an execution.
-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint

CREATE TABLE reaction_tally (
    execution_id  uuid NOT NULL REFERENCES execution ON DELETE CASCADE,
    channel       smallint NOT NULL,
    kind          text NOT NULL,
    brand_id      uuid NOT NULL,
    people        bigint NOT NULL CHECK (people > 0),
    PRIMARY KEY (execution_id, channel, kind)
);
COMMENT ON TABLE reaction_tally IS 'kind: local. Of how many people it was told, by a provider or a partner, that their message on that channel was delivered, opened, clicked and so on: each person once for each kind, moved in the transaction that enters it in their history.';

INSERT INTO reaction_tally (execution_id, channel, kind, brand_id, people)
SELECT e.execution_id, e.channel, e.kind, x.brand_id, count(DISTINCT (e.part, e.customer_id))
FROM delivery_event e
JOIN execution x ON x.id = e.execution_id AND x.brand_id = e.brand_id
WHERE e.kind IN ('delivered', 'bounced', 'dropped', 'complained', 'opened', 'clicked', 'replied', 'answered', 'unsubscribed')
GROUP BY e.execution_id, e.channel, e.kind, x.brand_id;

ALTER TABLE execution ADD COLUMN request_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN execution.request_id IS 'The X-Request-Id of the call that started it; empty where none did.';

CREATE INDEX delivery_event_troubles ON delivery_event (execution_id, channel, kind)
WHERE kind IN ('deferred', 'rejected', 'in_doubt', 'template_error');
