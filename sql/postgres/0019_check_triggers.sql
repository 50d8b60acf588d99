-- By what a deployment can have been asked for (gateway.models.Trigger). Any other word was written by no version.

UPDATE deployments SET trigger = 'api' WHERE trigger NOT IN ('api', 'form');

ALTER TABLE deployments ADD CONSTRAINT deployments_trigger_check CHECK (trigger IN ('api', 'form'));
