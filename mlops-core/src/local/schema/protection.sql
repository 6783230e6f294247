-- Aliases that are protected for everybody who opens the store, in every model. One that is protected no more has no `protection`: its row
-- stays, so that a row that is gone is noticed.
CREATE TABLE protected_alias (
    alias      TEXT PRIMARY KEY,
    protection TEXT,
    actor      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    digest     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
