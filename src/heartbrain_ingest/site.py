"""Make a new site: settings, rules, folders, key."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from heartbrain_ingest.errors import KeyFileError, SettingsError
from heartbrain_ingest.settings import SETTINGS_NAME, Settings, default_settings_text

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
    except OSError as error:
        raise SettingsError(f"the site can't be made: {error.strerror}") from error
    return settings
