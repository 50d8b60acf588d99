-- The people, and the repositories that they deploy.

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    first_name text NOT NULL,
    last_name text NOT NULL,
    email text NOT NULL UNIQUE,
    password text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE projects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    git_url text NOT NULL,
    subdomain text NOT NULL UNIQUE,
    custom_domain text UNIQUE,
    created_by uuid REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    branch text,
    root_directory text,
    install_command text,
    build_command text,
    output_directory text,
    node_version text,
    next_number integer NOT NULL DEFAULT 1,
    -- Only a deployment with a higher number goes live by itself.
    activation_floor integer NOT NULL DEFAULT 0,
    live_deployment_id uuid
);

CREATE INDEX projects_created_at ON projects (created_at DESC, id);
