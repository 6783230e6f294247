-- Monitors, what they saw, what was true, what they found, and alerts. A body in JSON has a digest that covers the row's key.

CREATE TABLE monitor (
    name   TEXT PRIMARY KEY,
    body   TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE monitor_report (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    monitor TEXT NOT NULL REFERENCES monitor (name),
    body    TEXT NOT NULL,
    digest  BLOB NOT NULL
) STRICT;
CREATE INDEX monitor_report_by_monitor ON monitor_report (monitor, id);

-- Endpoints that were observed or labelled; a number, because every observation has one.
CREATE TABLE observed_endpoint (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- The new rows of one call, as one block; `at` in microseconds, rounded down.
CREATE TABLE observation_batch (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint   INTEGER NOT NULL REFERENCES observed_endpoint (id),
    at         INTEGER NOT NULL,
    nanos      INTEGER NOT NULL,
    deployment TEXT NOT NULL,
    block      BLOB NOT NULL
) STRICT;
CREATE INDEX observation_batch_by_time ON observation_batch (endpoint, at);

-- Which ids were seen.
CREATE TABLE observation (
    endpoint INTEGER NOT NULL REFERENCES observed_endpoint (id),
    id       TEXT NOT NULL,
    PRIMARY KEY (endpoint, id)
) STRICT, WITHOUT ROWID;

-- What was true, also of ids that were not seen yet.
CREATE TABLE label (
    endpoint INTEGER NOT NULL REFERENCES observed_endpoint (id),
    id       TEXT NOT NULL,
    value    REAL NOT NULL,
    PRIMARY KEY (endpoint, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key    TEXT NOT NULL UNIQUE,
    body   TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT;
