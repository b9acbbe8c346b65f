-- A list may be granted to any id, whether a brand has it or not: an answer that told them apart would tell who is here.

-- squawk-ignore ban-drop-constraint
ALTER TABLE optout_grant DROP CONSTRAINT optout_grant_grantee_id_fkey;
COMMENT ON TABLE optout_grant IS 'kind: reference. That another brand may link to a list of this brand, and read it. grantee_id: of a brand, or of none.';
