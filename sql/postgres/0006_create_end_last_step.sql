-- A step runs until the next one starts or the attempt ends. Times are milliseconds since 1970; the builder's clock may differ.

CREATE FUNCTION end_last_step(steps jsonb, at_ms bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN steps -> -1 -> 'seconds' = 'null'::jsonb THEN
            jsonb_set(
                steps,
                ARRAY[(jsonb_array_length(steps) - 1)::text, 'seconds'],
                to_jsonb(greatest(0, at_ms - (steps -> -1 ->> 'startedAt')::bigint) / 1000.0)
            )
        ELSE steps
    END
$$;

CREATE FUNCTION now_ms() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT (extract(epoch FROM now()) * 1000)::bigint
$$;
