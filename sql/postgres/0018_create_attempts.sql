-- What belongs to one launch is a row of its own, so that a lost attempt keeps its steps and its reason.

CREATE TABLE attempts (
    deployment_id uuid NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    number integer NOT NULL,
    launcher text NOT NULL,
    -- The builder, as its launcher calls it; NULL: it is not known that there is one.
    handle text,
    -- NULL: the launcher refused to start it.
    started_at timestamptz,
    -- Until when it is believed alive; NULL: it has ended.
    lease_until timestamptz,
    -- [{"name", "startedAt", "seconds"}]
    steps jsonb NOT NULL DEFAULT '[]',
    -- The manifest that the builder announced, until the attempt ends.
    manifest bytea,
    -- Why it ended without a release.
    reason text,
    -- When its builder was seen to run no more.
    seen_gone_at timestamptz,
    PRIMARY KEY (deployment_id, number)
);

-- A deployment that waits after a loss has the number of its next attempt already; one that was refused lost nothing.
INSERT INTO attempts (deployment_id, number, launcher, handle, started_at, lease_until, steps, manifest, reason)
SELECT
    id,
    CASE WHEN status = 'QUEUE' THEN attempt - 1 ELSE attempt END,
    coalesce(launcher, 'unknown'),
    handle,
    started_at,
    lease_until,
    steps,
    manifest,
    CASE WHEN status = 'QUEUE' THEN queue_reason ELSE reason END
FROM deployments
WHERE started_at IS NOT NULL OR handle IS NOT NULL;

-- Builders of earlier attempts, of which nothing else is known: their numbers are below the first.
INSERT INTO attempts (deployment_id, number, launcher, handle)
SELECT
    leftover_builders.deployment_id,
    1 - row_number() OVER (PARTITION BY leftover_builders.deployment_id ORDER BY leftover_builders.handle),
    leftover_builders.launcher,
    leftover_builders.handle
FROM leftover_builders
JOIN deployments ON deployments.id = leftover_builders.deployment_id;

DROP TABLE leftover_builders;
DROP VIEW deployment_rows;
DROP INDEX deployments_building;
DROP INDEX deployments_with_handle;

ALTER TABLE deployments
    DROP COLUMN started_at,
    DROP COLUMN lease_until,
    DROP COLUMN launcher,
    DROP COLUMN handle,
    DROP COLUMN cancel_requested_at,
    DROP COLUMN steps,
    DROP COLUMN manifest;

CREATE INDEX deployments_building ON deployments (created_at, id) WHERE status = 'BUILDING';
CREATE INDEX attempts_with_builder ON attempts (launcher) WHERE handle IS NOT NULL AND seen_gone_at IS NULL;

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
    deployments.trigger,
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

-- The steps with this one begun, and the one before it ended. A step that began already is not begun again.
CREATE FUNCTION begin_step(steps jsonb, step text, at_ms bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN step IS NULL OR steps @> jsonb_build_array(jsonb_build_object('name', step)) THEN steps
        ELSE end_last_step(steps, at_ms) || jsonb_build_array(
            jsonb_build_object('name', step, 'startedAt', at_ms, 'seconds', NULL)
        )
    END
$$;

-- Call it in the statement that takes the deployment out of BUILDING. failed_in: the step in which it ended, if known.
CREATE FUNCTION end_attempt(deployment uuid, attempt integer, why text, failed_in text DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
    UPDATE attempts
    SET lease_until = NULL,
        manifest = NULL,
        reason = why,
        steps = end_last_step(begin_step(steps, failed_in, now_ms()), now_ms())
    WHERE deployment_id = deployment AND number = attempt
$$;
