-- The saved installations of projects. The bytes are in the object store, by their digest. `key` is what the builder makes of
-- the lockfile, the manager, Node and the platform.

CREATE TABLE install_caches (
    project_id uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key text NOT NULL,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, key)
);

CREATE INDEX install_caches_used_at ON install_caches (used_at);
