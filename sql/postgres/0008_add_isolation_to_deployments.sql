-- How well the build was walled off: strong, basic, none.

ALTER TABLE deployments ADD COLUMN isolation text;
