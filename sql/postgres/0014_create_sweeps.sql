-- The sweep of all projects, which gateways share: one row, once the first has begun.

CREATE TABLE sweeps (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    -- The projects up to this id are done.
    after uuid NOT NULL,
    -- The last sign of life of the gateway that works on it.
    worked_at timestamptz NOT NULL,
    -- NULL: it goes on, or was left.
    ended_at timestamptz
);
