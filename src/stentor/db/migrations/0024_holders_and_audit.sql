-- As whom calls are counted, the organisation's audit log, and what no statement takes out of it.

ALTER TABLE api_key ADD COLUMN holder text;
COMMENT ON COLUMN api_key.holder IS 'As whom calls are counted: the user who made the key, be it by other keys, or else the first of these keys; null for that one itself.';
WITH RECURSIVE made AS (
    SELECT number, CASE made_by_kind WHEN 'user' THEN 'user ' || made_by_id END AS holder
    FROM api_key
    WHERE made_by_kind IS DISTINCT FROM 'key'
    UNION ALL
    SELECT k.number, coalesce(m.holder, 'key ' || m.number)
    FROM made m
    JOIN api_key k ON k.made_by_kind = 'key' AND k.made_by_id = m.number::text
)
UPDATE api_key k SET holder = m.holder FROM made m WHERE m.number = k.number AND m.holder IS NOT NULL;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX api_key_by_organisation ON api_key (organisation_id, number);

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_by_organisation ON audit_entry (organisation_id, number);

-- An entry stays for 30 days at least, whatever is set, by the database's own clock, which no statement of ours shifts.
CREATE OR REPLACE FUNCTION keep_audit() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < clock_timestamp() - interval '30 days'
        AND OLD.at < nullif(current_setting('stentor.audit_kept_from', true), '')::timestamptz THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit log is only ever added to.' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- Also for sessions that apply what another server replicates, in which other triggers rest.
ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_is_kept;
ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_is_kept;
