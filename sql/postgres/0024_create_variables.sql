-- The variables of builds, every value encrypted under its project's data key. Those of a deployment came with the call that
-- requested it, and stand above those of its project.

CREATE TABLE variables (
    project_id uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name text NOT NULL,
    -- all, production, preview, or branch:<name>
    context text NOT NULL,
    sealed bytea NOT NULL,
    is_secret boolean NOT NULL,
    is_public boolean NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    PRIMARY KEY (project_id, name, context)
);

CREATE TABLE deployment_variables (
    deployment_id uuid NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    name text NOT NULL,
    sealed bytea NOT NULL,
    is_secret boolean NOT NULL,
    is_public boolean NOT NULL,
    PRIMARY KEY (deployment_id, name)
);
