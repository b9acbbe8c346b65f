-- What limits per hour have left, for all workers.

CREATE TABLE hour_bucket (
    owner_id     uuid PRIMARY KEY,
    brand_id     uuid NOT NULL,
    tokens       double precision NOT NULL,
    per_s        double precision NOT NULL CHECK (per_s > 0),
    refilled_at  timestamptz NOT NULL,
    turn_at      timestamptz NOT NULL
);
COMMENT ON TABLE hour_bucket IS 'kind: local. A limit per hour, of a campaign or of an execution, shared by all workers: the sends that it allows now, how fast they grow, and when whoever finds none may come again. One that nobody has asked for two hours is full, and goes.';
