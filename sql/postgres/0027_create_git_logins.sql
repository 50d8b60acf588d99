-- How builds log in to the git server of a project: a token (name: the user) or a deploy key (name: its public half, with
-- the ssh URL and the confirmed host key). The secret half is encrypted under the project's data key. It is for git_url, the
-- project's URL when it was set: a token goes to that server only, a deploy key belongs to that repository only.

CREATE TABLE git_logins (
    project_id uuid PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('token', 'deploy-key')),
    name text NOT NULL,
    git_url text NOT NULL,
    ssh_url text,
    host_key text,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);
