-- Facts of this installation that every gateway on this database shares: the install key, the hash of the access token.

CREATE TABLE installation (
    name text PRIMARY KEY,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
