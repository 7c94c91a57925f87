"""Who somebody is: users with slow, salted password hashes, and tokens that expire."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from dataclasses import dataclass

from .storage import Database

REALM = "PAM"
TOKEN_LIFETIME_MS = 12 * 60 * 60 * 1000
MAX_PASSWORD = 1024
ADMINISTRATION, ANONYMOUS = "administration", "anonymous"
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_TOKEN_FIELDS = 9
_ABSENT = "scrypt$16384$8$1$00000000000000000000000000000000$00"
"""Hashed against when there is no such user, so that the time tells nothing."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, with which roles."""

    name: str
    roles: tuple[str, ...] = (ADMINISTRATION,)

    @property
    def is_anonymous(self) -> bool:
        """Tell whether nobody has logged in."""
        return self.roles == (ANONYMOUS,)


NOBODY = User(ANONYMOUS, (ANONYMOUS,))


def hash_password(password: str) -> str:
    """Hash with a fresh salt: `scrypt$n$r$p$salt$hash`."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, dklen=32, **_SCRYPT)
    return f"scrypt${_SCRYPT['n']}${_SCRYPT['r']}${_SCRYPT['p']}${salt.hex()}${digest.hex()}"


def is_password(password: str, hashed: str) -> bool:
    """Compare in constant time."""
    _, n, r, p, salt, expected = hashed.split("$")
    digest = hashlib.scrypt(
        password.encode()[:MAX_PASSWORD], salt=bytes.fromhex(salt), dklen=32, n=int(n), r=int(r), p=int(p)
    )
    return hmac.compare_digest(digest.hex(), expected)


def set_password(connection: sqlite3.Connection, user: str, password: str) -> None:
    """Make a user with a password, or give one a new password; earlier tokens of the user are void then."""
    connection.execute(
        "INSERT INTO user (name, password) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET password = excluded.password",
        (user, hash_password(password)),
    )


class Gate:
    """Logs in and recognises tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def login(self, name: str, password: str) -> str | None:
        """Give a token; None if user and password do not fit."""
        row = self._row(name)
        known = row[0] if row is not None else None
        if not is_password(password, known or _ABSENT) or known is None or row is None or row[1] != "ACTIVE":
            return None
        return self._issue(name, known)

    def token(self, name: str) -> str | None:
        """Give a token for a user without asking for the password; None for one who has none."""
        row = self._row(name)
        return None if row is None or row[0] is None or row[1] != "ACTIVE" else self._issue(name, row[0])

    def _issue(self, name: str, hashed: str) -> str:
        issued = ["S", REALM, name, [], [], time.time_ns() // 1_000_000, TOKEN_LIFETIME_MS, secrets.token_hex(8)]
        return json.dumps([*issued, self._seal(issued, hashed)], separators=(",", ":"))

    def user(self, token: str) -> User | None:
        """Recognise the bearer of a token; None if it is forged, expired or void."""
        try:
            fields = json.loads(token)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, list) or len(fields) != _TOKEN_FIELDS or fields[:2] != ["S", REALM]:
            return None
        *issued, seal = fields
        name, at, lifetime = issued[2], issued[5], issued[6]
        if (
            not isinstance(name, str)
            or not isinstance(seal, str)
            or not isinstance(at, int)
            or not isinstance(lifetime, int)
        ):
            return None
        row = self._row(name)
        if row is None or row[0] is None or row[1] != "ACTIVE":
            return None
        if not hmac.compare_digest(self._seal(issued, row[0]).encode(), seal.encode()):
            return None
        if not at <= time.time_ns() // 1_000_000 < at + lifetime:
            return None
        return User(name, self.roles(name))

    def roles(self, name: str) -> tuple[str, ...]:
        """Give the roles of a user."""
        rows = self._database.connection().execute("SELECT role FROM user_role WHERE user = ? ORDER BY role", (name,))
        return tuple(row[0] for row in rows)

    def _row(self, name: str) -> tuple[str | None, str] | None:
        row: tuple[str | None, str] | None = (
            self._database.connection().execute("SELECT password, status FROM user WHERE name = ?", (name,)).fetchone()
        )
        return row

    def _seal(self, issued: list[object], hashed: str) -> str:
        """Sign a token; the password's hash is part of it, so that a new password voids the token."""
        text = json.dumps(issued, separators=(",", ":")) + hashed
        return hmac.new(self._key(), text.encode(), hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        key = self._database.setting("token_key")
        if key is None:
            with self._database.write() as connection:
                connection.execute("INSERT OR IGNORE INTO setting VALUES ('token_key', ?)", (secrets.token_hex(32),))
            key = self._database.setting("token_key") or ""
        return bytes.fromhex(key)
