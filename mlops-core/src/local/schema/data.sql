-- Data assets. `versions` counts their versions, which are numbered from 1 without gaps; `next` is the name after this
-- one.
CREATE TABLE data_asset (
    name     TEXT PRIMARY KEY,
    versions INTEGER NOT NULL,
    next     TEXT,
    digest   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Versions. `manifest` is the digest of the content; `doc` is what was registered and never changes; `archived` may.
CREATE TABLE data_version (
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    manifest   BLOB NOT NULL,
    created_at INTEGER NOT NULL, -- microseconds since 1970
    archived   INTEGER NOT NULL,
    doc        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

-- The highest version of an asset with each content.
CREATE TABLE data_content (
    name     TEXT NOT NULL,
    manifest BLOB NOT NULL,
    version  INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (name, manifest)
) STRICT, WITHOUT ROWID;

-- What was registered under which key.
CREATE TABLE data_call (
    key     TEXT PRIMARY KEY,
    request BLOB NOT NULL,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
