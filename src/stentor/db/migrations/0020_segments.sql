-- Segments: who is meant, said as a tree of conditions; and the events of people that conditions may ask for.

CREATE TABLE segment (
    id          uuid PRIMARY KEY,
    brand_id    uuid NOT NULL REFERENCES brand,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    expression  jsonb NOT NULL CHECK (jsonb_typeof(expression) = 'object'),
    version     integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (brand_id, name)
);
COMMENT ON TABLE segment IS 'kind: reference. Who is meant: a tree of conditions, compiled anew each time it is asked; version counts its changes.';
CREATE INDEX segment_by_brand ON segment (brand_id, id);

CREATE TABLE customer_event (
    part         smallint NOT NULL,
    customer_id  uuid NOT NULL,
    brand_id     uuid NOT NULL,
    at           timestamptz NOT NULL,
    event_id     uuid NOT NULL,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    properties   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(properties) = 'object'),
    PRIMARY KEY (part, customer_id, name, at, event_id)
) PARTITION BY RANGE (at);
COMMENT ON TABLE customer_event IS 'kind: people. What happened to somebody, as a caller tells it: ordered, logged in. Kept as long as history is, in partitions of a month.';
CREATE TABLE customer_event_other PARTITION OF customer_event DEFAULT;

-- Makes the month's partition where it is missing and answers how many it made.
CREATE FUNCTION make_event_month(instant timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    month timestamptz := date_trunc('month', instant, 'UTC');
    child text := to_char(month AT TIME ZONE 'UTC', '"customer_event_"YYYY"m"MM');
BEGIN
    IF to_regclass(child) IS NOT NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF customer_event FOR VALUES FROM (%L) TO (%L)', child, month,
        (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
    RETURN 1;
END
$$;

-- Drops the first of the months that lie before that time altogether, and answers how many tables that were.
CREATE FUNCTION drop_event_month(instant timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    child text;
BEGIN
    SELECT c.relname INTO child
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'customer_event'::regclass AND c.relname ~ '^customer_event_[0-9]{4}m[0-9]{2}$'
        AND to_date(substring(c.relname FROM '[0-9]{4}m[0-9]{2}$'), 'YYYY"m"MM') + interval '1 month' <= instant AT TIME ZONE 'UTC'
    ORDER BY 1
    LIMIT 1;
    IF child IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('DROP TABLE %I', child);
    RETURN 1;
END
$$;

-- As far back as history is kept by default, and the months that come.
SELECT make_event_month(statement_timestamp() + make_interval(months => month)) FROM generate_series(-14, 2) AS month;

-- The point in time that a text is: a day (its beginning in UTC), or a day and a time, in UTC where it says no offset; null for
-- any other text, and for years before 1000 and after 2999. The twin of audience/segments/expressions.py. One pattern decides,
-- 29 February and all, so that the cast behind it never fails and nothing else is looked at: it is asked of millions.
CREATE FUNCTION instant_in(value text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN value ~ (
        '^(?:[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)'
        '|(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|1200|1600|2000|2400|2800)-02-29)'
        '(?:[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?(?:[Zz]|[+-](?:0[0-9]|1[0-5]):?[0-5][0-9])?)?$'
    ) THEN (CASE
        WHEN length(value) = 10 THEN value || 'T00:00Z'
        WHEN value ~ '[Zz]$|.{11}.*[+-]' THEN value
        ELSE value || 'Z'
    END)::timestamptz END
$$;

-- Whether that moment's day, in UTC, comes round on this one; who was born on 29 February has their day on the 28th in years
-- that have no other.
CREATE FUNCTION is_anniversary(moment timestamptz, today date) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE extract(month FROM moment AT TIME ZONE 'UTC') * 100 + extract(day FROM moment AT TIME ZONE 'UTC')
        WHEN extract(month FROM today) * 100 + extract(day FROM today) THEN true
        WHEN 229 THEN extract(month FROM today) = 2 AND extract(day FROM today) = 28 AND extract(month FROM today + 1) = 3
        ELSE false
    END
$$;

-- Where chance puts a person, from 0 to 2^32 - 1: the first four bytes of a hash of the seed and the person.
CREATE FUNCTION sample_point(seed text, customer_id uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ('x' || encode(substring(sha256(convert_to(seed, 'UTF8') || uuid_send(customer_id)) FROM 1 FOR 4), 'hex'))::bit(32)::bigint
$$;

-- Events come by imports too. What the old rule let in the new one lets in as well, so nothing needs to be read for it.
-- squawk-ignore ban-drop-constraint
ALTER TABLE import_job DROP CONSTRAINT import_job_kind_check;
ALTER TABLE import_job ADD CONSTRAINT import_job_kind_check CHECK (kind IN ('customers', 'subscriptions', 'profiles', 'events')) NOT VALID;
