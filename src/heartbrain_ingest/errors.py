"""The exceptions of the RDM side. A class docstring is the message an operator reads: it says what to do next."""

from __future__ import annotations


class HeartbrainError(Exception):
    """Something went wrong that stops the run; the text after the colon says what."""

    def __init__(self, detail: str = "") -> None:
        """Join the class docstring and the detail of this case."""
        advice = " ".join((type(self).__doc__ or "").split())
        super().__init__(f"{advice} ({detail})" if detail else advice)
        self.detail = detail


class SettingsError(HeartbrainError):
    """The settings can't be used: correct the named entry in the settings file."""


class KeyFileError(HeartbrainError):
    """The pseudonym key can't be used: `heartbrain init` makes a new site's; only its owner may read it (mode 0600)."""


class RulesError(HeartbrainError):
    """A rules file in crawler_config/ can't be used: correct the named place in it."""


class DatabaseError(HeartbrainError):
    """LinkAhead did not do what was asked: check `pylinkahead.ini` and whether the server runs, then run again."""


class ToolError(HeartbrainError):
    """An external program is missing or failed: `make demo` or a new installation puts it into place."""


class LedgerError(HeartbrainError):
    """The ledger does not add up: nothing was deleted; look at the named rows with `heartbrain explain`."""


class StateError(HeartbrainError):
    """The ledger can't be read or written: check space, permissions and backup of the state folder, then run again."""


class BusyError(HeartbrainError):
    """Another run works on this archive: wait until it ends, or stop it."""
