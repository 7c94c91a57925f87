"""Make a new site: settings, rules, folders, key."""

from __future__ import annotations

import os
import secrets
import shutil
from importlib import resources
from pathlib import Path

from heartbrain_ingest.errors import DatabaseError, KeyFileError, SettingsError
from heartbrain_ingest.settings import SETTINGS_NAME, Settings, default_settings_text, load_settings

#: Who can log in to the portal of a new site; the password lies in the state folder until somebody takes it away.
FIRST_USER = "steward"
FIRST_LOGIN = "first-login.txt"
#: Folders that hold original names and identifiers; nobody but the owner may look into them.
IDENTIFIED = ("inbox", "staging", "quarantine", "state")


def default_rules() -> Path:
    """Give the folder of the rules that come with the program: in a checkout, or inside the installed package."""
    checkout = Path(__file__).resolve().parents[2] / "crawler_config"
    if checkout.is_dir():
        return checkout
    return Path(str(resources.files("heartbrain_ingest") / "default_config"))


def make_site(folder: Path) -> Path:
    """Make what is not there yet of a site; nothing that is there is changed.

    Returns
    -------
    Path
        The settings file.

    Raises
    ------
    SettingsError
        When the folder can't be written to.
    KeyFileError
        When the key of a site that has published is gone.
    DatabaseError
        When the embedded LinkAhead's database can't be used.
    """
    from heartbrain_ingest.deidentify import Pseudonyms  # noqa: PLC0415 - not needed by the other commands

    places = Settings().folders
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, place in places:
            mode = 0o700 if name in IDENTIFIED else 0o755
            (folder / place).mkdir(exist_ok=True, mode=mode)
        settings = folder / SETTINGS_NAME
        if not settings.exists():
            settings.write_text(default_settings_text(), encoding="utf-8")
        for source in sorted(default_rules().glob("*.yml")):
            target = folder / places.crawler_config / source.name
            if not target.exists():
                shutil.copyfile(source, target)
        key_file = folder / places.state / "pseudonyms.yml"
        if not key_file.exists():
            if (folder / places.state / "ledger.db").exists():
                raise KeyFileError("it is gone, but subjects were published with it; put it back from your backup")
            Pseudonyms.create(key_file)
        _admit_first_user(load_settings(settings))
    except OSError as error:
        raise SettingsError(f"the site can't be made: {error.strerror}") from error
    return settings


def _admit_first_user(settings: Settings) -> None:
    """Let one person into the portal of a site whose embedded LinkAhead knows nobody yet."""
    if settings.linkahead.ini is not None:
        return
    from linkahead_embedded.accounts import has_accounts, set_account  # noqa: PLC0415 - not needed by other commands
    from linkahead_embedded.auth import ADMINISTRATION  # noqa: PLC0415 - the same
    from linkahead_embedded.bootstrap import close_application, open_application  # noqa: PLC0415 - the same
    from linkahead_embedded.errors import EmbeddedError  # noqa: PLC0415 - the same

    try:
        application = open_application(settings.database, settings.folders.archive)
        if not has_accounts(application):
            password = secrets.token_urlsafe(12)
            note = settings.folders.state / FIRST_LOGIN
            with os.fdopen(
                os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii"
            ) as stream:
                stream.write(f"{FIRST_USER}\n{password}\n")
            set_account(application, FIRST_USER, password, ADMINISTRATION)
        close_application(settings.database)
    except EmbeddedError as error:
        raise DatabaseError(f"opening {settings.database}: {error}") from error
