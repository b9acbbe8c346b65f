-- Breaks: who asked for no messages for a while keeps all choices, and is left out of what needs consent until then.
-- squawk-ignore-file constraint-missing-not-valid, ban-drop-constraint

ALTER TABLE customer ADD COLUMN break_until timestamptz;
COMMENT ON COLUMN customer.break_until IS 'Until when they asked for no messages; the ledger has when and how.';

ALTER TABLE consent_event ADD COLUMN until timestamptz;
COMMENT ON COLUMN consent_event.until IS 'Of a break: when it ends.';
ALTER TABLE consent_event
    DROP CONSTRAINT consent_event_kind_check,
    ADD CONSTRAINT consent_event_kind_check
        CHECK (kind IN ('subscribed', 'unsubscribed', 'requested', 'agreed', 'refused', 'unset', 'break', 'break_over')),
    ADD CONSTRAINT consent_event_until_check CHECK ((until IS NOT NULL) = (kind = 'break'));

CREATE OR REPLACE VIEW recipient AS
SELECT brand_id, part, customer_id, refused_mask, complained_mask, bounced_mask, address_mask, valid_mask, shared_address,
    external_id, email, email_digest, phone, phone_digest, push_tokens, locale, time_zone, attributes, created_at, break_until
FROM customer;
