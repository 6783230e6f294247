-- How many there are of what has no numbers of its own, so that a row that cannot be found any more is missed.
CREATE TABLE tally (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
