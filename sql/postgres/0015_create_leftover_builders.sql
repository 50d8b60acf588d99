-- Builders whose attempt was followed by another one, or whose start came too late, and that nobody has seen end yet.

CREATE TABLE leftover_builders (
    launcher text NOT NULL,
    handle text NOT NULL,
    deployment_id uuid NOT NULL,
    PRIMARY KEY (launcher, handle)
);
