CREATE TABLE pipeline_entry (
    run      TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE step_record (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    key       TEXT NOT NULL UNIQUE,
    component TEXT NOT NULL,
    body      TEXT NOT NULL,
    digest    BLOB NOT NULL
) STRICT;

CREATE INDEX step_record_component ON step_record (component, number);

-- The last claim to a key. Its token stays when it is given back: holder and until are null then.
CREATE TABLE step_claim (
    key    TEXT NOT NULL PRIMARY KEY,
    token  INTEGER NOT NULL,
    holder TEXT,
    until  INTEGER
) STRICT, WITHOUT ROWID;
