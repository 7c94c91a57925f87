"""`heartbrain linkahead`: serve, back up and move the embedded LinkAhead."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from heartbrain_ingest.commands.base import FAILED, settings_of, settings_option


class _LinkAheadCommands(click.Group):
    """Does the same for the errors of the embedded LinkAhead, which knows nothing of this package."""

    def invoke(self, ctx: click.Context) -> Any:
        from linkahead_embedded.errors import EmbeddedError

        try:
            return super().invoke(ctx)
        except EmbeddedError as error:
            click.echo(f"heartbrain: {error}", err=True)
            ctx.exit(FAILED)


@click.group(cls=_LinkAheadCommands)
def linkahead() -> None:
    """Work with the embedded LinkAhead."""


@linkahead.command("serve")
@settings_option
@click.option("--database", type=click.Path(path_type=Path), help="Database file  [default: the site's]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=10080,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--user", default="heartbrain", show_default=True, help="Name of the user who may log in.")
@click.option("--password", envvar="HEARTBRAIN_LINKAHEAD_PASSWORD", hidden=True)
@click.option(
    "--scripts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the scripts that clients may run  [default: none]",
)
@click.pass_context
def serve(
    ctx: click.Context,
    database: Path | None,
    host: str,
    port: int,
    user: str,
    password: str | None,
    scripts: Path | None,
) -> None:
    """Serve the embedded LinkAhead over HTTP, for the official client and for browsers.

    The password comes from the environment variable HEARTBRAIN_LINKAHEAD_PASSWORD.

    Example: HEARTBRAIN_LINKAHEAD_PASSWORD=secret heartbrain linkahead serve --port 10080
    """
    from linkahead_embedded.server import serve as serve_linkahead

    if not password:
        raise click.UsageError("set HEARTBRAIN_LINKAHEAD_PASSWORD to the password of the user")
    file_root = None
    if database is None:
        settings = settings_of(ctx)
        database, file_root = settings.database, settings.folders.archive
    serve_linkahead(
        database,
        host=host,
        port=port,
        file_root=file_root,
        user=user,
        password=password,
        scripts=scripts,
        ready=lambda url: click.echo(f"The embedded LinkAhead answers at {url} (stop with Ctrl-C)"),
    )


@linkahead.command("user")
@settings_option
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["administration", "researcher", "readonly"]),
    default="researcher",
    show_default=True,
    help="administration: everything; researcher: ask, run functions; readonly: ask.",
)
@click.option("--database", type=click.Path(path_type=Path), help="Database file  [default: the site's]")
@click.option("--password", envvar="HEARTBRAIN_LINKAHEAD_PASSWORD", hidden=True)
@click.pass_context
def user(ctx: click.Context, name: str, role: str, database: Path | None, password: str | None) -> None:
    """Let NAME log in to the embedded LinkAhead and the portal, or give NAME a new password or role.

    The password comes from the environment variable HEARTBRAIN_LINKAHEAD_PASSWORD; without it, it is asked for.

    Example: heartbrain linkahead user clara --role researcher
    """
    from linkahead_embedded.accounts import set_account
    from linkahead_embedded.bootstrap import open_application

    if database is None:
        settings = settings_of(ctx)
        if settings.linkahead.ini is not None:
            raise click.UsageError("the site uses a LinkAhead server: its administrator makes the users there")
        database = settings.database
    if not password:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    set_account(open_application(database), name, str(password), role)
    click.echo(f"{name} may log in; role: {role}")


@linkahead.command("backup")
@settings_option
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--database", type=click.Path(exists=True, path_type=Path), help="Database file  [default: the site's]")
@click.pass_context
def backup(ctx: click.Context, file: Path, database: Path | None) -> None:
    """Copy the database to FILE while it is in use, uploaded files beside it, and check the copy.

    Example: heartbrain linkahead backup /backup/linkahead.db
    """
    from linkahead_embedded.backup import back_up

    done = back_up(database or settings_of(ctx).database, file)
    click.echo(f"{file}: {done.entities} entities, {done.files} uploaded files; the copy is sound")


def _connect(ctx: click.Context, database: Path | None, file_root: Path | None, ini: Path | None) -> None:
    """Point the client at the LinkAhead that the options or else the settings name."""
    from heartbrain_ingest.crawl.connection import connect

    if database is not None or ini is not None:
        connect(ini=ini, database=database or Path(), file_root=file_root)
        return
    settings = settings_of(ctx)
    connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)


def _place_options(function: Any, *, may_be_new: bool = False) -> Any:
    """Let a command say which LinkAhead it is about."""
    function = click.option(
        "--ini", type=click.Path(exists=True, path_type=Path), help="`pylinkahead.ini` of a LinkAhead server."
    )(function)
    function = click.option(
        "--file-root", type=click.Path(exists=True, path_type=Path), help="Folder that its file paths start from."
    )(function)
    return click.option(
        "--database",
        type=click.Path(exists=not may_be_new, dir_okay=False, path_type=Path),
        help="Database file of an embedded LinkAhead  [default: the site's LinkAhead]",
    )(function)


@linkahead.command("export")
@settings_option
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@_place_options
@click.option("--with-files", is_flag=True, help="The bytes of the files too; without, they stay where they are.")
@click.pass_context
def export(
    ctx: click.Context,
    folder: Path,
    database: Path | None,
    file_root: Path | None,
    ini: Path | None,
    with_files: bool,
) -> None:
    """Write all entities to FOLDER as XML, for `import` into another LinkAhead.

    Example: heartbrain linkahead export /backup/entities
    """
    from linkahead_embedded.transfer import export_entities

    _connect(ctx, database, file_root, ini)
    done = export_entities(folder, with_files=with_files)
    click.echo(f"{folder}: {done.entities} entities, {done.files} files")


@linkahead.command("import")
@settings_option
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@partial(_place_options, may_be_new=True)
@click.pass_context
def import_(ctx: click.Context, folder: Path, database: Path | None, file_root: Path | None, ini: Path | None) -> None:
    """Insert what `export` wrote to FOLDER, with new ids; FOLDER/ids.tsv says which.

    An interrupted import goes on where it stopped.

    Example: heartbrain linkahead import /backup/entities --ini pylinkahead.ini
    """
    from linkahead_embedded.transfer import import_entities

    _connect(ctx, database, file_root, ini)
    done = import_entities(folder)
    click.echo(f"{done.inserted} inserted, {done.matched} there before, {done.skipped} by an earlier import")
