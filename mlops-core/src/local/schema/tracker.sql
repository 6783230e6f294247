-- Experiments, runs and what is logged to them.
--
-- Times are microseconds since 1970. A metric's value is kept as an integer that orders as the value does (`value.rs`), so that
-- order and equality in SQL are those of the values, bit for bit. `change` is the store's `counter` at the last write that touched
-- the row: who follows the store asks for rows with a greater one. Heartbeats are not counted.

CREATE TABLE experiment (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    tags       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    change     INTEGER NOT NULL
) STRICT;
CREATE INDEX experiment_by_change ON experiment (change);

-- status: 0 scheduled, 1 running, 2 finished, 3 failed, 4 killed.
CREATE TABLE run (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT NOT NULL UNIQUE,
    experiment  INTEGER NOT NULL REFERENCES experiment (id),
    name        TEXT NOT NULL,
    parent      TEXT REFERENCES run (run_id),
    actor       TEXT NOT NULL,
    status      INTEGER NOT NULL CHECK (status BETWEEN 0 AND 4),
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    lease_until INTEGER,
    deleted     INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
    change      INTEGER NOT NULL,
    capsule     TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_id ON run (experiment, deleted, run_id);
CREATE INDEX run_by_start ON run (experiment, deleted, started_at, run_id);
CREATE INDEX run_by_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_by_change ON run (change);
-- Runs that may have to be killed.
CREATE INDEX run_leased ON run (lease_until) WHERE lease_until IS NOT NULL AND status < 2;

CREATE TABLE param (
    run   INTEGER NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE tag (
    run   INTEGER NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

-- `place` is the order of logging.
CREATE TABLE input (
    run     INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    asset   TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest  TEXT NOT NULL,
    role    TEXT NOT NULL,
    PRIMARY KEY (run, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX input_by_asset ON input (asset, run);

CREATE TABLE artifact (
    run    INTEGER NOT NULL,
    path   TEXT NOT NULL,
    digest TEXT NOT NULL,
    size   INTEGER NOT NULL,
    PRIMARY KEY (run, path)
) STRICT, WITHOUT ROWID;

-- One metric of one run, summarised. The n-th point logged to it has the number n - 1: that is the order of logging. `step` and
-- `at` are the greatest place, `value` is what was logged there last.
CREATE TABLE series (
    id    INTEGER PRIMARY KEY,
    run   INTEGER NOT NULL,
    key   TEXT NOT NULL,
    count INTEGER NOT NULL,
    step  INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    value INTEGER NOT NULL,
    min   INTEGER,
    max   INTEGER,
    UNIQUE (run, key)
) STRICT;

-- Points that came in small numbers.
CREATE TABLE point (
    series INTEGER NOT NULL,
    step   INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    value  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (series, step, at, value)
) STRICT, WITHOUT ROWID;

-- Points that came in great numbers, packed (`chunk.rs`), in order of step, time and number. No point is in two places.
CREATE TABLE chunk (
    id         INTEGER PRIMARY KEY,
    series     INTEGER NOT NULL,
    first_step INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,
    last_step  INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    crc        INTEGER NOT NULL,
    points     BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_by_place ON chunk (series, first_step, first_at, last_step, last_at);

-- What was written under a key, and what was answered.
CREATE TABLE write_call (
    run     INTEGER NOT NULL,
    key     TEXT NOT NULL,
    digest  TEXT NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

-- How much of a file in the folder `journal` is in this database.
CREATE TABLE journal_file (
    name      TEXT PRIMARY KEY,
    committed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
