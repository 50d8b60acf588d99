-- A mirror is either whole, or what differs is copied again: nothing is counted any more.

UPDATE mirrors
SET deployment_id = NULL
WHERE NOT is_whole;

-- deployment_id: whose files are there, all of them and no others; NULL: they are being written or removed.
ALTER TABLE mirrors
    DROP COLUMN project_id,
    DROP COLUMN round,
    DROP COLUMN copied,
    DROP COLUMN is_whole;
