"""The tables of the ledger, and how those of an earlier version become the present ones."""

from __future__ import annotations

import sqlite3

from heartbrain_ingest.errors import LedgerError

#: Statements that lead from each version to the next; version 1 is what the first of them makes.
_STEPS = (
    """CREATE TABLE subjects (
    label TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex TEXT NOT NULL,
    fallback TEXT NOT NULL,
    PRIMARY KEY (patient_id, birth_date, sex, fallback)
) STRICT;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT,
    session TEXT,
    project TEXT,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    folder TEXT,
    target TEXT,
    code TEXT,
    patient_id TEXT,
    study_date TEXT,
    UNIQUE (subject, session)
) STRICT;
CREATE INDEX deliveries_patient ON deliveries (patient_id, study_date);
CREATE TABLE identifiers (
    key TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX identifiers_key ON identifiers (key);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    kind TEXT NOT NULL,
    delivery INTEGER REFERENCES deliveries (id),
    series TEXT,
    instance TEXT,
    facts TEXT,
    outcome TEXT NOT NULL,
    code TEXT,
    destination TEXT
) STRICT;
CREATE INDEX files_delivery ON files (delivery, outcome);
CREATE INDEX files_instance ON files (instance) WHERE instance IS NOT NULL;
CREATE INDEX files_outcome ON files (outcome, code);
CREATE TABLE staged (
    file INTEGER PRIMARY KEY REFERENCES files (id),
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    outcome TEXT NOT NULL,
    code TEXT,
    destination TEXT,
    sha256 TEXT
) STRICT;
CREATE INDEX staged_delivery ON staged (delivery);
CREATE TABLE series (
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    uid TEXT NOT NULL,
    number INTEGER,
    code TEXT,
    report TEXT NOT NULL,
    PRIMARY KEY (delivery, uid)
) STRICT;
CREATE TABLE folders (
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    revision INTEGER NOT NULL,
    path TEXT NOT NULL UNIQUE,
    crawled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (delivery, revision)
) STRICT;
""",
    """
-- What a steward decided about files (by their content) or about places of a refused session.
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    action TEXT NOT NULL,
    code TEXT NOT NULL,
    file INTEGER REFERENCES files (id),
    sha256 TEXT,
    delivery INTEGER REFERENCES deliveries (id),
    place TEXT,
    reason TEXT NOT NULL,
    made_at TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_file ON decisions (file);
CREATE INDEX decisions_delivery ON decisions (delivery);
-- Digest of the rules and programs that a folder was made with.
ALTER TABLE folders ADD COLUMN made_with TEXT;
CREATE INDEX folders_uncrawled ON folders (revision, path) WHERE crawled = 0;
CREATE INDEX deliveries_state ON deliveries (state);
""",
    """
-- What tells the folder that is about to be published from any other of its name.
ALTER TABLE deliveries ADD COLUMN target_digest TEXT;
""",
    """
-- DICOM that is withheld stood there with the path that the site's folder had.
UPDATE files SET destination = 'withheld:' || substr(destination, instr(destination, '/withheld/') + 10)
    WHERE destination LIKE '/%/withheld/%!%';
""",
)
SCHEMA_VERSION = len(_STEPS)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring them to the present version; to be called inside a transaction.

    Raises
    ------
    LedgerError
        A newer program made them.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise LedgerError(f"it has schema version {version}, this program knows {SCHEMA_VERSION}")
    for step in _STEPS[version:]:
        for statement in step.split(";"):
            connection.execute(statement)
    if version != SCHEMA_VERSION:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
