-- What becomes of one call is told where that call says.

ALTER TABLE notice ADD COLUMN url text;
COMMENT ON COLUMN notice.url IS 'Where this one goes instead of to the listener''s own URL: the callback of the call that it tells of.';
