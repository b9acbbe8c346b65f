-- Pages that were sent are noted at once, and their people handed over beside the next ones.
-- squawk-ignore-file require-concurrent-index-creation

CREATE INDEX pull_page_sent ON pull_page (id) WHERE handed_over_at IS NULL AND lease_until IS NULL;
COMMENT ON TABLE pull_page IS 'kind: local. Who fetched which rows of a pull: asked_at is when the last byte of them was written, or when they were leased; with a lease_until nobody else gets the rows until then. handed_over_at: when their people were handed over, which follows the sending within moments, and a lease when it is acknowledged; handed_over counts those who had not been before.';
