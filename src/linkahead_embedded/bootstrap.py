"""From a database file to a running application, and the client on top of it."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from .app import Application
from .auth import User
from .files import FileStore
from .storage import Database

_FILE_ROOT = "file_root"
BLOBS = ".files"
_applications: dict[Path, Application] = {}
_lock = threading.Lock()


def open_application(
    database: str | Path, file_root: str | Path | None = None, scripts: str | Path | None = None
) -> Application:
    """Open the application on a database file; one for each file in a process.

    `scripts` is not remembered: who may start programs is said anew each time.

    Raises
    ------
    DatabaseUnusableError
        If the file is not usable.
    """
    path = Path(database).expanduser().resolve()
    with _lock:
        application = _applications.get(path)
        if application is None or not path.exists():
            opened = Database(path)
            application = Application(opened, FileStore(path.with_name(path.name + BLOBS), None))
            _applications[path] = application
            application.files.sweep()
        root = _remembered_root(application.database, file_root)
        application.files.root = root
        if scripts is not None:
            application.scripting.folder = Path(scripts)
    return application


def close_application(database: str | Path) -> None:
    """Close the database file; the next use opens it again."""
    with _lock:
        application = _applications.pop(Path(database).expanduser().resolve(), None)
    if application is not None:
        application.database.close()


def _remembered_root(database: Database, given: str | Path | None) -> Path | None:
    """Remember where files lie, relative to the database so that both can be moved together."""
    folder = database.path.parent
    if given is not None:
        root = Path(given).expanduser().resolve()
        try:
            text = os.path.relpath(root, folder)
        except ValueError:  # another drive
            text = str(root)
        if database.setting(_FILE_ROOT) != text:
            database.set_setting(_FILE_ROOT, text)
        return root
    kept = database.setting(_FILE_ROOT)
    return None if kept is None else (folder / kept).resolve()


def connect_client(
    database: str | Path, file_root: str | Path | None, user: str, scripts: str | Path | None = None
) -> None:
    """Configure the official client's process-wide connection onto a database file."""
    application = open_application(database, file_root, scripts)
    from linkahead.connection.connection import configure_connection  # noqa: PLC0415 - a second of start-up

    from .inprocess import InProcessConnection  # noqa: PLC0415 - needs the client

    logging.getLogger("linkahead").setLevel(logging.WARNING)
    configure_connection(  # type: ignore[no-untyped-call]  # the client is half typed
        url="http://localhost/",
        implementation=lambda: InProcessConnection(application, User(user)),
        password_method="unauthenticated",  # noqa: S106 - no password is needed to call a function
    )
