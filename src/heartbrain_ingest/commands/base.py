"""What every command shares: exit codes, errors as one clear line, the settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heartbrain_ingest.errors import HeartbrainError

if TYPE_CHECKING:
    from heartbrain_ingest.settings import Settings

GOOD, ATTENTION, FAILED = 0, 1, 2


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
