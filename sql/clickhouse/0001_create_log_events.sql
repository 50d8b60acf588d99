-- A row a line. Equal keys are one line: merges keep one of them, and until then reads say LIMIT 1 BY the key.
-- event_id is uuid5(deployment_id, 'attempt/seq'): the same line has the same id, whoever writes it.
-- Only what 18.16 knows; newer versions know it too.
CREATE TABLE IF NOT EXISTS log_events (
    deployment_id UUID,
    attempt UInt16,
    seq UInt64,
    at Int64,
    stream String,
    step String,
    log String,
    received_at DateTime('UTC'),
    event_id UUID DEFAULT toUUID(arrayElement(
        arrayMap(
            digest -> concat(
                substring(digest, 1, 8), '-',
                substring(digest, 9, 4), '-5',
                substring(digest, 14, 3), '-',
                substring('89ab89ab89ab89ab', position('0123456789abcdef', substring(digest, 17, 1)), 1),
                substring(digest, 18, 3), '-',
                substring(digest, 21, 12)
            ),
            [lower(hex(SHA1(concat(
                unhex(replaceAll(toString(deployment_id), '-', '')),
                toString(attempt), '/', toString(seq)
            ))))]
        ),
        1
    ))
)
ENGINE = ReplacingMergeTree()
PARTITION BY toYYYYMM(received_at)
ORDER BY (deployment_id, attempt, seq)
