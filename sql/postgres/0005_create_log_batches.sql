-- The embedded log store: a row is a line batch, zlib-compressed JSON lines. Partitions (a UTC day of receipt each) are
-- made when the first batch of a day arrives and dropped by retention.

CREATE TABLE log_batches (
    deployment_id uuid NOT NULL,
    attempt integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    received_on date NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (deployment_id, attempt, first_seq, received_on)
) PARTITION BY RANGE (received_on);
