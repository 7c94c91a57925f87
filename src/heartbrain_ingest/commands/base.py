"""What every command shares: exit codes, errors as one clear line, the settings."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heartbrain_ingest.errors import HeartbrainError

if TYPE_CHECKING:
    from heartbrain_ingest.settings import Settings

GOOD, ATTENTION, FAILED = 0, 1, 2
#: In the state folder, which is the identified zone.
FAILURES_NAME = "failures.log"


class Commands(click.Group):
    """Loads a command's module when it is asked for, and turns errors of this package into one line and exit code 2.

    Parameters
    ----------
    elsewhere
        Command name to `module:function`, for the commands that have a module of their own.
    """

    def __init__(self, *args: Any, elsewhere: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._elsewhere = dict(elsewhere or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, those of other modules among them."""
        return sorted({*super().list_commands(ctx), *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command by its name."""
        if cmd_name not in self._elsewhere:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._elsewhere[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HeartbrainError as error:
            click.echo(f"heartbrain: {error}", err=True)
            ctx.exit(FAILED)
        except OSError as error:
            advice = "check the space and the permissions of the site's folders, and the paths on the command line"
            click.echo(f"heartbrain: The operating system refused: {error.strerror or error}; {advice}", err=True)
            ctx.exit(FAILED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - a message that nobody foresaw may quote a patient's data
            click.echo(f"heartbrain: {_unforeseen(ctx, error)}", err=True)
            ctx.exit(FAILED)


def _unforeseen(ctx: click.Context, error: Exception) -> str:
    """Write what happened where names may stand, and say only what kind of error it was."""
    said = f"The program failed ({type(error).__name__}); what is published is not affected"
    try:
        log = settings_of(ctx).folders.state / FAILURES_NAME
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - a mode of its own
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n")
            file.writelines(traceback.format_exception(error))
    except (HeartbrainError, OSError):
        return f"{said}."
    return f"{said}. Details are in {log}; they may name patients: don't send them to anybody as they are."


def settings_option(function: Any) -> Any:
    """Let `--settings` stand after the command as well."""

    def remember(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            ctx.ensure_object(dict)["settings"] = value

    return click.option(
        "--settings",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=remember,
        help="Settings file of the site.",
    )(function)


def settings_of(ctx: click.Context) -> Settings:
    """Read the settings that the command line, the environment or the current folder names."""
    from heartbrain_ingest.settings import find_settings, load_settings

    return load_settings(find_settings(ctx.obj.get("settings")))
