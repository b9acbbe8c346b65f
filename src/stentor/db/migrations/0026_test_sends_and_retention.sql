-- Test sends, campaigns as they are edited that are sent to those who make them; and what brands say of how long things are kept.
--
-- Publications and executions are few, and what names recipients is small beside sends, so that nobody waits long for the locks.
-- squawk-ignore-file ban-drop-constraint, adding-field-with-default, constraint-missing-not-valid, require-concurrent-index-creation, disallowed-unique-constraint

ALTER TABLE publication ADD COLUMN is_test_send boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN publication.is_test_send IS 'Frozen for a test send, whatever it was edited to since: what runs it is counted in no total and is no past send of its campaign.';
CREATE INDEX publication_of_test_sends ON publication (created_at) WHERE is_test_send;

ALTER TABLE send_context
    ADD COLUMN shown_as uuid,
    ADD COLUMN shown jsonb CHECK (jsonb_typeof(shown) = 'object');
COMMENT ON COLUMN send_context.shown_as IS 'Of a test send: the customer whose fields the message is made of.';
COMMENT ON COLUMN send_context.shown IS 'Of a test send: the made-up fields that the message is made of.';
CREATE INDEX send_context_by_shown ON send_context (shown_as) WHERE shown_as IS NOT NULL;

CREATE TABLE test_recipient (
    id            uuid PRIMARY KEY,
    brand_id      uuid NOT NULL REFERENCES brand,
    address       text NOT NULL CHECK (length(address) BETWEEN 3 AND 320),
    name          text NOT NULL CHECK (length(name) <= 200),
    created_at    timestamptz NOT NULL,
    confirmed_at  timestamptz,
    UNIQUE (brand_id, address)
);
COMMENT ON TABLE test_recipient IS 'kind: reference. Addresses of a brand''s own people, e-mail or phone, that its test sends may go to; confirmed_at is set once whoever reads an e-mail address gave back the code of a letter, and at once for a phone.';

ALTER TABLE account_letter
    DROP CONSTRAINT account_letter_kind_check,
    ADD CONSTRAINT account_letter_kind_check CHECK (kind IN ('invitation', 'password', 'test_recipient'));

-- Brands say how long the words of their executions are kept.
ALTER TABLE execution ADD COLUMN forgotten_at timestamptz;
COMMENT ON COLUMN execution.forgotten_at IS 'When what the call said and what was answered was forgotten, as the brand''s settings say; nothing can be sent again of it.';
