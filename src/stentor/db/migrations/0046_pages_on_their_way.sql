-- Pages that are being written out: a hub that is killed before it notes that one was sent can still learn that it was taken.

CREATE TABLE pull_sending (
    pull_id        uuid NOT NULL REFERENCES pull ON DELETE CASCADE,
    position_to    integer NOT NULL,
    position_from  integer NOT NULL CHECK (position_from >= 0),
    brand_id       uuid NOT NULL,
    begun_at       timestamptz NOT NULL,
    PRIMARY KEY (pull_id, position_to, position_from),
    CHECK (position_to > position_from)
);
COMMENT ON TABLE pull_sending IS 'kind: local. Pages whose first byte may have been written, and of which nobody noted the last: whoever asks for what comes after them has them.';
