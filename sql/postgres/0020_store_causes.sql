-- Why a deployment was requested (gateway/models/cause.py). What it builds stays in git_url, branch and commit_sha.

DROP VIEW deployment_rows;

ALTER TABLE deployments RENAME COLUMN trigger TO cause_kind;
ALTER TABLE deployments RENAME CONSTRAINT deployments_trigger_check TO deployments_cause_kind_check;

ALTER TABLE deployments
    ALTER COLUMN cause_kind DROP DEFAULT,
    ADD COLUMN cause_actor text NOT NULL DEFAULT 'installation',
    ADD COLUMN cause_branch text,
    ADD COLUMN cause_commit text;

-- Until now the installation's owner was the only actor, and every request was about the branch of the settings.
UPDATE deployments SET cause_branch = branch;
ALTER TABLE deployments ALTER COLUMN cause_actor DROP DEFAULT;

-- A deployment as the gateway reads it: with its project's names, whether it is live, and its last attempt.
CREATE VIEW deployment_rows AS
SELECT
    deployments.id,
    deployments.project_id,
    projects.subdomain AS project_slug,
    projects.name AS project_name,
    deployments.number,
    deployments.status,
    deployments.attempt,
    deployments.cause_kind,
    deployments.cause_actor,
    deployments.cause_branch,
    deployments.cause_commit,
    deployments.git_url,
    deployments.branch,
    deployments.root_directory,
    deployments.install_command,
    deployments.build_command,
    deployments.output_directory,
    deployments.node_version,
    deployments.created_at,
    attempts.started_at,
    deployments.completed_at,
    attempts.lease_until,
    attempts.launcher,
    CASE WHEN attempts.seen_gone_at IS NULL THEN attempts.handle END AS handle,
    deployments.queue_reason,
    deployments.reason,
    deployments.exit_code,
    deployments.commit_sha,
    deployments.commit_message,
    deployments.framework,
    deployments.built_with_node,
    deployments.isolation,
    coalesce(attempts.steps, '[]') AS steps,
    deployments.files,
    deployments.bytes,
    deployments.last_seq,
    deployments.log_complete,
    deployments.log_missing,
    deployments.released_at,
    deployments.replaced_at,
    projects.live_deployment_id IS NOT DISTINCT FROM deployments.id AS is_live
FROM deployments
JOIN projects ON projects.id = deployments.project_id
LEFT JOIN attempts ON attempts.deployment_id = deployments.id AND attempts.number = deployments.attempt;
