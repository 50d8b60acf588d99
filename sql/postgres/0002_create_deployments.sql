-- A row in QUEUE is the outbox: the dispatcher claims it. READY, FAILED and CANCELED are final.

CREATE TABLE deployments (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'QUEUE'
        CHECK (status IN ('QUEUE', 'BUILDING', 'READY', 'FAILED', 'CANCELED')),
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    number integer NOT NULL,
    attempt integer NOT NULL DEFAULT 1,
    trigger text NOT NULL DEFAULT 'api',
    -- What to build, as it was when it was asked for.
    git_url text NOT NULL,
    branch text,
    root_directory text,
    install_command text,
    build_command text,
    output_directory text,
    node_version text,
    -- The queue: not before this time, and how often the launcher refused, with its words.
    launch_after timestamptz NOT NULL DEFAULT now(),
    refusals integer NOT NULL DEFAULT 0,
    queue_reason text,
    -- The attempt that runs.
    started_at timestamptz,
    lease_until timestamptz,
    launcher text,
    handle text,
    cancel_requested_at timestamptz,
    -- What is known of it. steps: [{"name", "startedAt", "seconds"}]
    steps jsonb NOT NULL DEFAULT '[]',
    commit_sha text,
    commit_message text,
    framework text,
    built_with_node text,
    -- The manifest that the builder announced, until it is a release.
    manifest bytea,
    -- How it ended.
    reason text,
    exit_code integer,
    files integer,
    bytes bigint,
    last_seq bigint,
    log_complete boolean,
    log_missing jsonb NOT NULL DEFAULT '[]',
    -- Until when its release may be swept; NULL: it may not (live) or there is none.
    released_at timestamptz,
    replaced_at timestamptz,
    UNIQUE (project_id, number)
);

CREATE INDEX deployments_queue ON deployments (launch_after) WHERE status = 'QUEUE';
CREATE INDEX deployments_building ON deployments (lease_until) WHERE status = 'BUILDING';
CREATE INDEX deployments_by_project ON deployments (project_id, number DESC);
CREATE INDEX deployments_preview_name ON deployments (left(id::text, 8));

ALTER TABLE projects
    ADD CONSTRAINT projects_live_deployment_fkey
    FOREIGN KEY (live_deployment_id) REFERENCES deployments (id);
