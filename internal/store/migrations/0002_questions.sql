CREATE TABLE questions (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL,               -- unique among open questions only
    run        TEXT NOT NULL,
    rule       TEXT NOT NULL,
    key        TEXT NOT NULL,               -- same for calls that are the same; empty for none
    unattended INTEGER NOT NULL,            -- denied already, waits for a next try
    deadline   INTEGER NOT NULL,            -- Unix nanoseconds; 0 for none
    record     TEXT NOT NULL,               -- approval.Question as JSON
    answer     TEXT,                        -- approval.Answer as JSON; NULL while open
    taken      INTEGER NOT NULL DEFAULT 0   -- the next try had its answer
) STRICT;

CREATE UNIQUE INDEX questions_open ON questions (id) WHERE answer IS NULL;

CREATE INDEX questions_by_id ON questions (id, seq);

CREATE INDEX questions_unattended ON questions (run, rule, key) WHERE unattended = 1 AND taken = 0;

CREATE TRIGGER answers_are_not_changed BEFORE UPDATE OF answer ON questions WHEN OLD.answer IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the first answer stands'); END;
