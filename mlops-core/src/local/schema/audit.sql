-- The audit log. `hash` covers the record and the hash before it, so it needs no other digest.
CREATE TABLE audit_record (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL, -- microseconds since 1970
    key      TEXT NOT NULL UNIQUE,
    doc      TEXT NOT NULL, -- the entry
    previous BLOB NOT NULL,
    hash     BLOB NOT NULL
) STRICT;
