-- What loops went through, and where each of them stands. A body is JSON; its digest covers the row's key too.

CREATE TABLE loop_entry (
    loop     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (loop, sequence)
) STRICT, WITHOUT ROWID;

-- The state after the last entry: one for each loop, replaced with every entry.
CREATE TABLE loop_state (
    loop   TEXT PRIMARY KEY,
    body   TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
