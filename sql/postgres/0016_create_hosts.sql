-- Every name under which something is served. A name without a dot stands in the place of {slug} in sites.url; one with a
-- dot is a whole domain. No foreign key refers to the project: the names of a deleted project stay reserved.

CREATE TABLE hosts (
    name text PRIMARY KEY,
    -- NULL: the name leads nowhere and is reserved.
    project_id uuid,
    -- slug and domain follow what is live; deployment is fixed; branch and pull_request follow their newest READY one.
    kind text NOT NULL CHECK (kind IN ('slug', 'deployment', 'branch', 'pull_request', 'domain')),
    deployment_id uuid,
    branch text,
    pull_request integer,
    redirect_to text,
    -- Until then no other project gets the name.
    reserved_until timestamptz,
    CHECK ((kind = 'domain') = (name LIKE '%.%')),
    CHECK (kind <> 'deployment' OR deployment_id IS NOT NULL),
    CHECK ((kind = 'branch') = (branch IS NOT NULL)),
    CHECK ((kind = 'pull_request') = (pull_request IS NOT NULL)),
    CHECK (project_id IS NOT NULL OR reserved_until IS NOT NULL)
);

INSERT INTO hosts (name, project_id, kind)
SELECT
    subdomain,
    id,
    'slug'
FROM projects;

INSERT INTO hosts (name, project_id, kind)
SELECT
    lower(custom_domain),
    id,
    'domain'
FROM projects
WHERE custom_domain LIKE '%.%'
ORDER BY created_at
ON CONFLICT (name) DO NOTHING;

-- Of two deployments with the same first digits the name led to the newest release.
INSERT INTO hosts (name, project_id, kind, deployment_id)
SELECT
    projects.subdomain || '-' || left(deployments.id::text, 8),
    projects.id,
    'deployment',
    deployments.id
FROM deployments
JOIN projects ON projects.id = deployments.project_id
ORDER BY (deployments.status = 'READY' AND deployments.released_at IS NOT NULL) DESC, deployments.number DESC
ON CONFLICT (name) DO NOTHING;

DROP INDEX deployments_preview_name;
