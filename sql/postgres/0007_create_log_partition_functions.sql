-- Days of the embedded log store. ATTACH, unlike CREATE ... PARTITION OF, lets readers and writers go on.

CREATE FUNCTION make_log_partition(day date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name text := 'log_batches_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('log_batches', 0));
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE log_batches INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE %I ALTER COLUMN body SET STORAGE EXTERNAL', name);
    EXECUTE format('ALTER TABLE log_batches ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, day, day + 1);
END
$$;

CREATE FUNCTION drop_log_partitions(before date) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    old record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('log_batches', 0));
    FOR old IN
        SELECT child.relname AS name
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = 'log_batches'::regclass
            AND to_date(right(child.relname, 8), 'YYYYMMDD') < before
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %I', old.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
