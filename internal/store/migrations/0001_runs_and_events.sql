CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    name       TEXT NOT NULL,
    state      TEXT NOT NULL,
    created    INTEGER NOT NULL,            -- Unix nanoseconds, for order
    archived   INTEGER NOT NULL DEFAULT 0,  -- removed by the user; the record stays
    record     TEXT NOT NULL                -- sandbox.Run as JSON
) STRICT;

CREATE INDEX runs_by_name ON runs (repository, name, created);

CREATE TABLE events (
    run  TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    time TEXT NOT NULL,                     -- RFC 3339 with nanoseconds, as hashed
    kind TEXT NOT NULL,
    data TEXT NOT NULL,                     -- byte for byte what was hashed
    prev TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TABLE requests (
    run     TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    id      TEXT NOT NULL,
    host    TEXT NOT NULL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_id ON requests (id);

CREATE TABLE verdicts (
    run         TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    id          TEXT NOT NULL,
    tool_use_id TEXT NOT NULL,
    decision    TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX verdicts_by_tool_use ON verdicts (run, tool_use_id);

CREATE TRIGGER requests_follow_events AFTER INSERT ON events WHEN NEW.kind = 'request'
BEGIN
    INSERT INTO requests (run, seq, id, host, verdict)
    VALUES (NEW.run, NEW.seq, NEW.data ->> 'id', NEW.data ->> 'host', NEW.data ->> 'verdict');
END;

CREATE TRIGGER verdicts_follow_events AFTER INSERT ON events WHEN NEW.kind = 'verdict'
BEGIN
    INSERT INTO verdicts (run, seq, id, tool_use_id, decision)
    VALUES (NEW.run, NEW.seq, NEW.data ->> 'id', coalesce(NEW.data ->> 'tool_use_id', ''), NEW.data ->> 'decision');
END;
