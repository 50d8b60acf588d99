-- What storage.mirror_outputs has written under __outputs/{slug}/. A row outlives its project: its objects must go, too.

CREATE TABLE mirrors (
    slug text PRIMARY KEY,
    project_id uuid NOT NULL,
    -- Whose files are there, or on their way; NULL: what is there is being removed.
    deployment_id uuid,
    -- Grows whenever somebody begins to write: who finds it changed has been overtaken.
    round integer NOT NULL DEFAULT 1,
    -- So many of its files, in order, are there.
    copied integer NOT NULL DEFAULT 0,
    is_whole boolean NOT NULL DEFAULT false
);
