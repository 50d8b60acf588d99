-- One Idempotency-Key makes one project; the digest tells a repeated call from another one.

CREATE TABLE idempotency_keys (
    key text PRIMARY KEY,
    body_sha256 bytea NOT NULL,
    deployment_id uuid NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
