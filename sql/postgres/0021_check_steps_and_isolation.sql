-- The names of steps (builder/protocol/steps.py) and grades of isolation (builder/protocol/calls.py). Any other word was
-- written by no version.

UPDATE attempts
SET steps = jsonb_path_query_array(
    steps,
    '$[*] ? (@.name == "prepare" || @.name == "clone" || @.name == "detect" || @.name == "install"
        || @.name == "build" || @.name == "collect" || @.name == "upload")'
);
UPDATE deployments SET isolation = NULL WHERE isolation NOT IN ('strong', 'basic', 'container', 'none');

ALTER TABLE attempts ADD CONSTRAINT attempts_steps_check CHECK (
    NOT jsonb_path_exists(
        steps,
        '$[*].name ? (!(@ == "prepare" || @ == "clone" || @ == "detect" || @ == "install" || @ == "build"
            || @ == "collect" || @ == "upload"))'
    )
);
ALTER TABLE deployments ADD CONSTRAINT deployments_isolation_check CHECK (
    isolation IN ('strong', 'basic', 'container', 'none')
);
