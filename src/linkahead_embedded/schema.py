"""The SQLite file: tables, indexes, migrations.

Everything that a query can ask for has an index: names, paths, sub-types, and each kind of value by (property, value).
A property of an entity has one row in `statement`, a list one for each element. What is the same for many entities
(importance, datatype, unit, names that override those of the abstract property) is written once, in `usage`.
"""

from __future__ import annotations

import sqlite3

from .errors import DatabaseUnusableError

APPLICATION_ID = 0x4C41  # "LA", so that `file` and we know our own
TABLES = """
CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entity (
    id INTEGER PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('RecordType', 'Record', 'Property', 'File', 'QueryTemplate')),
    name TEXT,
    name_key TEXT,
    description TEXT,
    type INTEGER,
    is_list INTEGER NOT NULL DEFAULT 0,
    unit TEXT,
    content TEXT,
    path TEXT,
    checksum TEXT,
    size INTEGER,
    storage TEXT,
    location TEXT,
    acl TEXT,
    version TEXT NOT NULL,
    number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;
CREATE INDEX entity_name ON entity (name_key) WHERE name_key IS NOT NULL;
CREATE UNIQUE INDEX entity_path ON entity (path) WHERE path IS NOT NULL;
CREATE INDEX entity_role ON entity (role);
CREATE INDEX entity_type ON entity (type) WHERE type >= 100;
CREATE INDEX entity_acl ON entity (id) WHERE acl IS NOT NULL;
CREATE INDEX entity_blob ON entity (location) WHERE storage = 'managed';

CREATE TABLE parent (
    child INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    parent INTEGER NOT NULL REFERENCES entity (id),
    PRIMARY KEY (child, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX parent_parent ON parent (parent, child);

CREATE TABLE subtype (
    ancestor INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    descendant INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    PRIMARY KEY (ancestor, descendant)
) STRICT, WITHOUT ROWID;
CREATE INDEX subtype_descendant ON subtype (descendant, ancestor);

CREATE TABLE usage (
    id INTEGER PRIMARY KEY,
    property INTEGER NOT NULL REFERENCES entity (id),
    importance TEXT NOT NULL,
    name TEXT,
    description TEXT,
    type INTEGER NOT NULL,
    is_list INTEGER NOT NULL,
    unit TEXT
) STRICT;
CREATE INDEX usage_property ON usage (property);
CREATE INDEX usage_type ON usage (type);

CREATE TABLE statement (
    entity INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    item INTEGER NOT NULL,
    property INTEGER NOT NULL,
    usage INTEGER NOT NULL REFERENCES usage (id),
    text TEXT,
    number ANY CHECK (typeof(number) IN ('null', 'integer', 'real')),
    target INTEGER REFERENCES entity (id) DEFERRABLE INITIALLY DEFERRED,
    low INTEGER,
    high INTEGER,
    lexical TEXT,
    PRIMARY KEY (entity, position, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX statement_property ON statement (property, usage);
CREATE INDEX statement_text ON statement (property, text) WHERE text IS NOT NULL;
CREATE INDEX statement_number ON statement (property, number) WHERE number IS NOT NULL;
CREATE INDEX statement_date ON statement (property, low, high) WHERE low IS NOT NULL;
CREATE INDEX statement_null ON statement (property)
    WHERE text IS NULL AND number IS NULL AND target IS NULL AND lexical IS NULL;
CREATE INDEX statement_target ON statement (target, property) WHERE target IS NOT NULL;

CREATE TABLE document (
    entity INTEGER PRIMARY KEY REFERENCES entity (id) ON DELETE CASCADE,
    xml TEXT NOT NULL
) STRICT;

CREATE TABLE history (
    entity INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    version TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    xml TEXT NOT NULL,
    PRIMARY KEY (entity, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_version ON history (entity, version);

CREATE TABLE user (
    name TEXT PRIMARY KEY,
    password TEXT,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    email TEXT,
    entity INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE role (
    name TEXT PRIMARY KEY,
    description TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE user_role (
    user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
    role TEXT NOT NULL REFERENCES role (name) ON DELETE CASCADE,
    PRIMARY KEY (user, role)
) STRICT, WITHOUT ROWID;
CREATE TABLE permission_rule (
    role TEXT NOT NULL REFERENCES role (name) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    is_grant INTEGER NOT NULL,
    permission TEXT NOT NULL,
    priority INTEGER NOT NULL,
    PRIMARY KEY (role, position)
) STRICT, WITHOUT ROWID;

INSERT INTO setting (key, value) VALUES ('next_id', '100'), ('generation', '1');
INSERT INTO role (name, description) VALUES
    ('administration', 'May do everything.'),
    ('readonly', 'May retrieve, not change.'),
    ('anonymous', 'Whoever has not logged in.');
INSERT INTO permission_rule (role, position, is_grant, permission, priority) VALUES
    ('administration', 0, 1, '*', 1),
    ('readonly', 0, 1, 'TRANSACTION:RETRIEVE', 0);
INSERT INTO entity
    (id, role, name, name_key, description, type, version, number, created_at, created_by, changed_at, changed_by)
VALUES
    (20, 'Property', 'name', 'name', 'Name of an entity', 1, 'internal20', 1, 0, 'system', 0, 'system'),
    (21, 'Property', 'description', 'description', 'What it is', 1, 'internal21', 1, 0, 'system', 0, 'system'),
    (24, 'Property', 'unit', 'unit', 'Unit of a property', 1, 'internal24', 1, 0, 'system', 0, 'system');
"""

OLD_VERSIONS_AND_BLOBS = """
CREATE TABLE old_entity (
    key INTEGER PRIMARY KEY,
    entity INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    name TEXT,
    name_key TEXT,
    description TEXT,
    type INTEGER,
    is_list INTEGER NOT NULL,
    unit TEXT,
    content TEXT,
    path TEXT,
    checksum TEXT,
    size INTEGER,
    version TEXT NOT NULL,
    number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX old_entity_version ON old_entity (entity, number);
CREATE INDEX old_entity_name ON old_entity (name_key) WHERE name_key IS NOT NULL;

CREATE TABLE old_parent (
    version INTEGER NOT NULL REFERENCES old_entity (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    PRIMARY KEY (version, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX old_parent_parent ON old_parent (parent, version);

CREATE TABLE old_statement (
    version INTEGER NOT NULL REFERENCES old_entity (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    item INTEGER NOT NULL,
    property INTEGER NOT NULL,
    usage INTEGER NOT NULL,
    text TEXT,
    number ANY,
    target INTEGER,
    low INTEGER,
    high INTEGER,
    lexical TEXT,
    PRIMARY KEY (version, position, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX old_statement_property ON old_statement (property, version);
CREATE INDEX old_statement_target ON old_statement (target) WHERE target IS NOT NULL;

CREATE TABLE pending_blob (
    location TEXT NOT NULL,
    request TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (location, request)
) STRICT, WITHOUT ROWID;

CREATE TABLE thumbnail (
    entity INTEGER PRIMARY KEY REFERENCES entity (id) ON DELETE CASCADE,
    location TEXT NOT NULL
) STRICT;
CREATE INDEX thumbnail_location ON thumbnail (location);
"""

FOLDERS_AND_UNUSED_BLOBS = """
CREATE TABLE folder_file (
    entity INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    location TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (entity, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX folder_file_location ON folder_file (location);

CREATE TABLE unused_blob (
    location TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entity_deleted AFTER DELETE ON entity WHEN OLD.storage = 'managed'
    BEGIN INSERT OR IGNORE INTO unused_blob VALUES (OLD.location); END;
CREATE TRIGGER entity_replaced AFTER UPDATE OF location ON entity
    WHEN OLD.storage = 'managed' AND OLD.location IS NOT NEW.location
    BEGIN INSERT OR IGNORE INTO unused_blob VALUES (OLD.location); END;
CREATE TRIGGER thumbnail_deleted AFTER DELETE ON thumbnail
    BEGIN INSERT OR IGNORE INTO unused_blob VALUES (OLD.location); END;
CREATE TRIGGER folder_file_deleted AFTER DELETE ON folder_file
    BEGIN INSERT OR IGNORE INTO unused_blob VALUES (OLD.location); END;
"""

QUICKER_CHECKS = """
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (typeof(number) IN (''null'', ''integer'', ''real''))',
    'CHECK (number IS NULL OR typeof(number) IN (''integer'', ''real''))') WHERE name = 'statement';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (role IN (''RecordType'', ''Record'', ''Property'', ''File'', ''QueryTemplate''))',
    'CHECK (role = ''Record'' OR role IN (''RecordType'', ''Property'') OR role IN (''File'', ''QueryTemplate''))')
    WHERE name = 'entity';
PRAGMA writable_schema = RESET;
CREATE INDEX old_statement_text ON old_statement (property, text) WHERE text IS NOT NULL;
CREATE INDEX old_statement_number ON old_statement (property, number) WHERE number IS NOT NULL;
CREATE INDEX old_statement_date ON old_statement (property, low, high) WHERE low IS NOT NULL;
CREATE INDEX old_statement_null ON old_statement (property)
    WHERE text IS NULL AND number IS NULL AND target IS NULL AND lexical IS NULL;
DROP INDEX old_statement_target;
CREATE INDEX old_statement_target ON old_statement (target, property) WHERE target IS NOT NULL;
"""
"""A list of more than two constants in a CHECK costs SQLite a temporary table for each row. See "Making Other Kinds Of
Table Schema Changes" in its documentation of ALTER TABLE: what is stored stays as it is. The indexes that come next
make other connections read the schema anew.
"""

OLD_VERSIONS_BY_KEY = """
CREATE INDEX old_entity_key ON old_entity (CAST(-key AS INTEGER));
CREATE INDEX old_parent_key ON old_parent (CAST(-version AS INTEGER), parent);
CREATE INDEX old_statement_key ON old_statement (CAST(-version AS INTEGER), property);
CREATE INDEX old_entity_path ON old_entity (path) WHERE path IS NOT NULL;
"""
"""What the views of `lql.versions` call the id of an archived version; with a cast, because SQLite looks through the
views only if the columns of both of their halves have the same affinity."""

MIGRATIONS: tuple[str, ...] = (
    TABLES,
    OLD_VERSIONS_AND_BLOBS,
    FOLDERS_AND_UNUSED_BLOBS,
    QUICKER_CHECKS,
    OLD_VERSIONS_BY_KEY,
)
"""`MIGRATIONS[n]` brings a file from version n to n + 1. Entries are only ever appended."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the present version, in one transaction.

    Raises
    ------
    DatabaseUnusableError
        If the file is another application's, or of a newer version of this one.
    """
    version = _version(connection)
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[_version(connection) :]:
            for statement in script.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if version > len(MIGRATIONS):
        raise DatabaseUnusableError(
            f"The database was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)})."
        )
    if application != APPLICATION_ID:
        tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables:
            raise DatabaseUnusableError("The file is an SQLite database, but not one of the embedded LinkAhead.")
    return version
