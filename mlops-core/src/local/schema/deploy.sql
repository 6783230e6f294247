-- Endpoints, deployments, traffic, rollouts, approvals. A body is JSON; its digest covers the row's key too.

CREATE TABLE endpoint (
    name       TEXT PRIMARY KEY,
    -- Counts every change of the endpoint and its deployments: who has this one in memory has them as they are.
    generation INTEGER NOT NULL,
    body       TEXT NOT NULL,
    digest     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deployment (
    -- Never used again: a new deployment of an old name is another one.
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL REFERENCES endpoint (name),
    name     TEXT NOT NULL,
    body     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    UNIQUE (endpoint, name)
) STRICT;

-- Every change of traffic that was made, with the endpoint as it was after it.
CREATE TABLE traffic_change (
    key      TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL REFERENCES endpoint (name),
    revision INTEGER NOT NULL,
    body     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    UNIQUE (endpoint, revision)
) STRICT, WITHOUT ROWID;

-- What each writer has counted in all: written again, it says the same. Writers that ended are added up under ''.
CREATE TABLE operation_count (
    deployment   INTEGER NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    writer       TEXT NOT NULL,
    requests     INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    bad_requests INTEGER NOT NULL,
    total_nanos  INTEGER NOT NULL,
    max_nanos    INTEGER NOT NULL,
    PRIMARY KEY (deployment, writer)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollout_entry (
    rollout  TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (rollout, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE approval_request (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL UNIQUE,
    body    TEXT NOT NULL,
    digest  BLOB NOT NULL
) STRICT;

-- A decision is made once: there is no second row for a request, and none is changed.
CREATE TABLE approval (
    request TEXT PRIMARY KEY REFERENCES approval_request (request),
    body    TEXT NOT NULL,
    digest  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
