"""Users of the embedded LinkAhead, made without a server: names, passwords, roles."""

from __future__ import annotations

from .app import Application
from .auth import ADMINISTRATION, MAX_PASSWORD, set_password
from .errors import EmbeddedError

RESEARCHER, READONLY = "researcher", "readonly"
ROLES = (ADMINISTRATION, RESEARCHER, READONLY)
#: A role that comes into being with its first user: it asks and registers, and administrates nothing.
_RESEARCHER_MAY = ("TRANSACTION:RETRIEVE", "TRANSACTION:INSERT", "TRANSACTION:UPDATE")


class UnknownRoleError(EmbeddedError):
    """There is no such role: choose one of administration, researcher, readonly."""


def set_account(application: Application, name: str, password: str, role: str) -> None:
    """Make a user, or give one a new password and this one role.

    Raises
    ------
    UnknownRoleError
        If there is no such role.
    """
    if role not in ROLES:
        raise UnknownRoleError(UnknownRoleError.__doc__)
    with application.database.write() as connection:
        if role == RESEARCHER:
            known = connection.execute("SELECT 1 FROM role WHERE name = ?", (role,)).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO role (name, description) VALUES (?, 'May ask, register and change records.')", (role,)
                )
                connection.executemany(
                    "INSERT INTO permission_rule (role, position, is_grant, permission, priority) "
                    "VALUES (?, ?, 1, ?, 0)",
                    [(role, position, permission) for position, permission in enumerate(_RESEARCHER_MAY)],
                )
        set_password(connection, name, password[:MAX_PASSWORD])
        connection.execute("DELETE FROM user_role WHERE user = ?", (name,))
        connection.execute("INSERT INTO user_role VALUES (?, ?)", (name, role))


def has_accounts(application: Application) -> bool:
    """Tell whether anybody can log in."""
    row = application.database.connection().execute("SELECT 1 FROM user WHERE password IS NOT NULL").fetchone()
    return row is not None
