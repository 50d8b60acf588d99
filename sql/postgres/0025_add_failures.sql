-- Why the command of an attempt failed: {"kind", "step", "line", "seq", "advice"}, from its builder.

ALTER TABLE attempts ADD COLUMN failure jsonb;

DROP FUNCTION end_attempt(uuid, integer, text, text);

-- Call it in the statement that takes the deployment out of BUILDING. failed_in: the step in which it ended, if known.
CREATE FUNCTION end_attempt(
    deployment uuid, attempt integer, why text, failed_in text DEFAULT NULL, explained jsonb DEFAULT NULL
) RETURNS void
LANGUAGE sql AS $$
    UPDATE attempts
    SET lease_until = NULL,
        manifest = NULL,
        reason = why,
        failure = explained,
        steps = end_last_step(begin_step(steps, failed_in, now_ms()), now_ms())
    WHERE deployment_id = deployment AND number = attempt
$$;
