-- Who was made anew on the id of somebody erased is told from them; a cast that takes long is made apart from the others; and what
-- is asked about one person or one source is found by an index.
--
-- Executions and imports are few beside sends, and casts are read by nobody but planners, so that nobody waits long for the locks.
-- squawk-ignore-file require-concurrent-index-creation, adding-field-with-default

CREATE OR REPLACE VIEW recipient AS
SELECT brand_id, part, customer_id, refused_mask, complained_mask, bounced_mask, address_mask, valid_mask, shared_address,
    external_id, email, email_digest, phone, phone_digest, push_tokens, locale, time_zone, attributes, created_at
FROM customer;

ALTER TABLE execution ADD COLUMN casts_alone boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN execution.casts_alone IS 'Its cast took longer than small ones may, and is made in a transaction of its own.';

-- The executions of one person: those that cast them, and those of their topics. Calls that named them have their own index.
CREATE INDEX cast_member_by_person ON cast_member (part, customer_id);
CREATE INDEX execution_of_topic ON execution (brand_id, topic_id, id) WHERE topic_id IS NOT NULL AND cast_size IS NULL;

CREATE INDEX import_job_of_source ON import_job (brand_id, kind, hashtextextended(source, 0), id);
