-- How many there are of what is numbered from 1 without gaps, so that the last one is missed when it cannot be found any more.
CREATE TABLE tally (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Where the list of all names of a table begins, and how long it is.
CREATE TABLE name_list (
    list   TEXT PRIMARY KEY,
    first  TEXT,
    count  INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
