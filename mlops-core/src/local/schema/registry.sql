-- Models. `versions` counts their versions, which are numbered from 1 without gaps; `aliases` counts the aliases they ever had;
-- `next` is the name after this one.
CREATE TABLE model (
    name     TEXT PRIMARY KEY,
    versions INTEGER NOT NULL,
    aliases  INTEGER NOT NULL,
    next     TEXT,
    digest   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Versions. `doc` is what was registered and never changes; `tags` and `archived` may.
CREATE TABLE model_version (
    model      TEXT NOT NULL,
    version    INTEGER NOT NULL,
    artifact   BLOB NOT NULL,
    created_at INTEGER NOT NULL, -- microseconds since 1970
    archived   INTEGER NOT NULL,
    run        TEXT,
    tags       TEXT NOT NULL,
    doc        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

-- The highest version of a model with each content.
CREATE TABLE model_content (
    model    TEXT NOT NULL,
    artifact BLOB NOT NULL,
    version  INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (model, artifact)
) STRICT, WITHOUT ROWID;

-- Where aliases point now. `sequence` counts the changes of an alias; one that was removed has no `target`.
CREATE TABLE alias (
    model    TEXT NOT NULL,
    alias    TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    target   INTEGER,
    at       INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;

-- Where they pointed. `at` never goes back within one alias.
CREATE TABLE alias_history (
    model    TEXT NOT NULL,
    alias    TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    target   INTEGER,
    at       INTEGER NOT NULL,
    doc      TEXT NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (model, alias, sequence)
) STRICT, WITHOUT ROWID;

-- What was done under which key: a call with the same key and request is the same call.
CREATE TABLE registry_call (
    key     TEXT PRIMARY KEY,
    kind    TEXT NOT NULL,
    request BLOB NOT NULL,
    model   TEXT NOT NULL,
    alias   TEXT,
    result  INTEGER NOT NULL, -- the version registered, or the sequence of the alias's record
    digest  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened, numbered from 1 without gaps.
CREATE TABLE registry_event (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    model    TEXT NOT NULL,
    doc      TEXT NOT NULL,
    digest   BLOB NOT NULL
) STRICT;

-- Lineage, both ways.
CREATE TABLE lineage_edge (
    sequence INTEGER PRIMARY KEY,
    origin   TEXT NOT NULL,
    target   TEXT NOT NULL,
    relation TEXT NOT NULL,
    digest   BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX lineage_edge_down ON lineage_edge (origin, target, relation);
CREATE INDEX lineage_edge_up ON lineage_edge (target);

-- How many edges come into a node and go out of it.
CREATE TABLE lineage_node (
    node    TEXT PRIMARY KEY,
    origins INTEGER NOT NULL,
    uses    INTEGER NOT NULL,
    digest  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
