"""What can go wrong, in the words that travel to the client."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Numbers of `<Error>` and `<Info>` nodes.

    The client knows 10, 101, 110, 114, 116, 152 and 403; the others are this server's own.
    """

    DELETED = 10
    ATOMICITY = 12
    QUERY_SYNTAX = 13
    QUERY_LIMIT = 14
    NOT_IMPLEMENTED = 15
    MALFORMED_REQUEST = 16
    ENTITY_DOES_NOT_EXIST = 101
    NO_DATATYPE = 110
    UNQUALIFIED_PROPERTIES = 114
    UNQUALIFIED_PARENTS = 116
    UNIQUE_NAMES = 152
    NOT_PERMITTED = 403
    AMBIGUOUS_NAME = 501
    BAD_VALUE = 502
    WRONG_REFERENCE_TYPE = 503
    OBLIGATORY_MISSING = 504
    STILL_REQUIRED = 505
    PARENT_CYCLE = 506
    NO_FILE = 507
    PATH_IN_USE = 508
    BAD_PATH = 509
    CHECKSUM = 510
    ROLE_MISMATCH = 511
    BAD_NAME = 512
    BAD_DATATYPE = 513
    UNKNOWN_NAME = 514
    UNKNOWN_UNIT = 515


class EmbeddedError(Exception):
    """The embedded LinkAhead can't work; the message says what to change."""


class DatabaseUnusableError(EmbeddedError):
    """The database file is damaged, of a newer version, or no LinkAhead database.

    Restore a backup or name another file.
    """


class DatabaseMissingError(EmbeddedError):
    """There is no such database. Correct the path, or ask for a new one with `create=True`."""


class RequestError(EmbeddedError):
    """A request that is answered by an HTTP status, because no entity could carry the message."""

    def __init__(self, status: int, description: str, code: int = Code.MALFORMED_REQUEST) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.code = int(code)


class QueryError(EmbeddedError):
    """A query that can't be answered; travels in a 200 response with `<Error>`."""

    def __init__(self, description: str, code: int = Code.QUERY_SYNTAX) -> None:
        super().__init__(description)
        self.description = description
        self.code = int(code)


class ValueFormatError(EmbeddedError):
    """A value does not fit its datatype."""
