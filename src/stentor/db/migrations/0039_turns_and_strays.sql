-- The installation's own letters take turns by whom they are written for, tags that somebody made are counted by themselves, and
-- events whose month had no partition go with their time.
--
-- Letters are gone once they are mailed, and tags are few beside the people who have them: nobody waits long for the locks.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion

ALTER TABLE account_letter ADD COLUMN turn_of uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
COMMENT ON COLUMN account_letter.turn_of IS 'The organisation that it is written for; of a link to a new password the one in which its user has had a role longest, and zeros for whoever has none.';

UPDATE account_letter l
SET turn_of = coalesce(
    (SELECT i.organisation_id FROM invitation i WHERE i.id = l.about),
    (SELECT b.organisation_id FROM test_recipient r JOIN brand b ON b.id = r.brand_id WHERE r.id = l.about),
    (SELECT b.organisation_id FROM listener h JOIN brand b ON b.id = h.brand_id WHERE h.id = l.about),
    (
        SELECT m.organisation_id FROM sign_in_link s JOIN membership m ON m.user_id = s.user_id
        WHERE s.id = l.about
        ORDER BY m.created_at, m.id
        LIMIT 1
    ),
    l.turn_of
);

DROP INDEX account_letter_by_due;
CREATE INDEX account_letter_by_turn ON account_letter (turn_of, kind, due_at);

ALTER TABLE tag ADD COLUMN by_hand boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tag.by_hand IS 'Somebody made it, and no batch: of these a brand has so many.';

UPDATE tag t SET by_hand = true WHERE NOT EXISTS (SELECT FROM batch b WHERE b.tag_id = t.id);
CREATE INDEX tag_by_hand ON tag (brand_id) WHERE by_hand;

-- Drops so many events of the catch-all that lie before that time, and answers how many.
CREATE FUNCTION drop_event_strays(instant timestamptz, at_most integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    dropped integer;
BEGIN
    DELETE FROM customer_event_other
    WHERE ctid = ANY(ARRAY(SELECT o.ctid FROM customer_event_other o WHERE o.at < instant LIMIT at_most));
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END
$$;
