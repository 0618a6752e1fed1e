CREATE TABLE launches (
    run     TEXT PRIMARY KEY,
    options TEXT NOT NULL,                -- how it was started, as JSON, without values of variables
    closed  INTEGER NOT NULL DEFAULT 0    -- it takes no more messages
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    seq        INTEGER PRIMARY KEY,
    repository TEXT NOT NULL,
    name       TEXT NOT NULL,             -- of the agent: what one run did not get, the next one does
    text       TEXT NOT NULL,
    sent       INTEGER NOT NULL,          -- Unix nanoseconds
    delivered  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX messages_waiting ON messages (repository, name, seq) WHERE delivered = 0;
