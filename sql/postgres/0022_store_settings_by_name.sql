-- The settings of builds, by their names in builder/protocol/settings.py, so that a new one needs no column.

DROP VIEW deployment_rows;

ALTER TABLE projects ADD COLUMN settings jsonb NOT NULL DEFAULT '{}';
ALTER TABLE deployments
    ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
    -- Those of the request for this deployment, which are stronger.
    ADD COLUMN overrides jsonb NOT NULL DEFAULT '{}',
    -- [{"name", "value", "origin"}]: what the builder used.
    ADD COLUMN used_settings jsonb NOT NULL DEFAULT '[]';

UPDATE projects SET settings = jsonb_strip_nulls(jsonb_build_object(
    'root_directory', root_directory,
    'install_command', install_command,
    'build_command', build_command,
    'output_directory', output_directory,
    'node_version', node_version
));
UPDATE deployments SET settings = jsonb_strip_nulls(jsonb_build_object(
    'root_directory', root_directory,
    'install_command', install_command,
    'build_command', build_command,
    'output_directory', output_directory,
    'node_version', node_version
));

ALTER TABLE projects
    DROP COLUMN root_directory,
    DROP COLUMN install_command,
    DROP COLUMN build_command,
    DROP COLUMN output_directory,
    DROP COLUMN node_version;
ALTER TABLE deployments
    DROP COLUMN root_directory,
    DROP COLUMN install_command,
    DROP COLUMN build_command,
    DROP COLUMN output_directory,
    DROP COLUMN node_version;

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
    deployments.settings,
    deployments.overrides,
    deployments.used_settings,
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
