-- Releases that still exist, and builders that may still run after their attempt ended.

CREATE INDEX deployments_released ON deployments (project_id, number DESC) WHERE released_at IS NOT NULL;
CREATE INDEX deployments_with_handle ON deployments (id) WHERE handle IS NOT NULL;
