-- A row a line. Equal keys are one line: merges keep one of them, and until then reads say LIMIT 1 BY the key.
-- Only what 18.16 knows; newer versions know it too.
CREATE TABLE IF NOT EXISTS log_events (
    deployment_id UUID,
    attempt UInt16,
    seq UInt64,
    event_id UUID,
    at Int64,
    stream String,
    step String,
    log String,
    received_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree()
PARTITION BY toYYYYMM(received_at)
ORDER BY (deployment_id, attempt, seq)
