-- Where pages of lists ended that are made anew for each page, so that the next one begins there and not so many rows later.

CREATE TABLE list_mark (
    client_id       uuid NOT NULL,
    question        bytea NOT NULL CHECK (length(question) = 32),
    position        integer NOT NULL CHECK (position > 0),
    brand_id        uuid NOT NULL,
    run_number      integer NOT NULL,
    channel_number  integer NOT NULL,
    part            smallint NOT NULL,
    customer_id     uuid NOT NULL,
    made_at         timestamptz NOT NULL,
    PRIMARY KEY (client_id, question, position)
);
COMMENT ON TABLE list_mark IS 'kind: local. Behind whom a page of a hub client''s list ended: of the list that question is a hash of, the row before $skip = position. The client''s oldest go when there are more than a thousand, and all after a day.';
CREATE INDEX list_mark_by_time ON list_mark (made_at);
CREATE INDEX list_mark_of_client ON list_mark (client_id, made_at);
