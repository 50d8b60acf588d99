-- Deployments that ended and whose log is not yet known to be whole or not.

CREATE INDEX deployments_undecided_logs ON deployments (completed_at)
WHERE log_complete IS NULL AND completed_at IS NOT NULL;
