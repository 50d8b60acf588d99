-- The key under which a project's secrets are encrypted. It is itself encrypted under a key of the installation's ring,
-- whose id is `ring_key`.

CREATE TABLE data_keys (
    project_id uuid PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    ring_key text NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX data_keys_ring_key ON data_keys (ring_key, project_id);
