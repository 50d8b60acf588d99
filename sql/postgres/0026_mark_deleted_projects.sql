-- A deleted project's row stays until its builders have stopped and its files and logs are removed. It has lost its names:
-- subdomain is ':' and its id, which is no label.

ALTER TABLE projects ADD COLUMN deleted_at timestamptz;

CREATE INDEX projects_deleted_at ON projects (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX hosts_project_id ON hosts (project_id);
