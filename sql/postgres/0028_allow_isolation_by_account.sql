-- The grade `account` (builder/protocol/calls.py).

ALTER TABLE deployments DROP CONSTRAINT deployments_isolation_check;
ALTER TABLE deployments ADD CONSTRAINT deployments_isolation_check CHECK (
    isolation IN ('strong', 'basic', 'account', 'container', 'none')
);
