"""The commands. No logic here: each reads its options, calls one function and shows what it gave."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heartbrain_ingest import __version__
from heartbrain_ingest.errors import HeartbrainError

if TYPE_CHECKING:
    from heartbrain_ingest.settings import Settings

GOOD, ATTENTION, FAILED = 0, 1, 2

_EPILOG = "Exit codes: 0 all good, 1 something needs the steward, 2 the command could not work."


class _Commands(click.Group):
    """Turns the errors of this package into one clear line and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeartbrainError as error:
            click.echo(f"heartbrain: {error}", err=True)
            ctx.exit(FAILED)
        except OSError as error:
            advice = "check the space and the permissions of the site's folders, and the paths on the command line"
            click.echo(f"heartbrain: The operating system refused: {error.strerror or error}; {advice}", err=True)
            ctx.exit(FAILED)


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="heartbrain")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    help="Settings file of the site  [default: heartbrain.yml here, or the one that HEARTBRAIN_SETTINGS names]",
)
@click.pass_context
def main(ctx: click.Context, settings_file: Path | None) -> None:
    """Make what a scanner, a physiology monitor and a laboratory leave findable, computable and safe."""
    ctx.ensure_object(dict)["settings"] = settings_file


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


def _settings(ctx: click.Context) -> Settings:
    from heartbrain_ingest.settings import find_settings, load_settings

    return load_settings(find_settings(ctx.obj.get("settings")))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a new site in FOLDER: settings, rules, folders, key.

    What is there already stays as it is.

    Example: heartbrain init /srv/heartbrain
    """
    from heartbrain_ingest.site import make_site

    settings = make_site(folder)
    click.echo(f"The site is ready. Its settings: {settings}")
    click.echo(f"Next: heartbrain ingest --settings {settings} --inbox FOLDER")


@main.command()
@settings_option
@click.option(
    "--inbox",
    type=click.Path(exists=True, path_type=Path),
    help="Take in this folder, which is complete, instead of the site's inbox.",
)
@click.option("--dry-run", is_flag=True, help="Read headers and say what would be done; publish nothing.")
@click.option("--session", help="Only the session with this label, such as ses-20230504.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes  [default: the setting `jobs`]")
@click.option(
    "--executor",
    type=click.Choice(["processes", "serial"]),
    default="processes",
    show_default=True,
    help="How the work is spread: over processes, or one piece after the other in this one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def ingest(
    ctx: click.Context,
    inbox: Path | None,
    dry_run: bool,
    session: str | None,
    jobs: int | None,
    executor: str,
    as_json: bool,
) -> None:
    """Take in what is new: de-identify, convert, name, check, publish, make records.

    Example: heartbrain ingest --inbox /media/usb/study
    """
    from heartbrain_ingest.pipeline import Run
    from heartbrain_ingest.report import RunOptions
    from heartbrain_ingest.shown import ShownProgress, report_data, report_lines, start_log

    settings = _settings(ctx)
    start_log(settings.folders.logs)
    workers = 1 if executor == "serial" else jobs
    options = RunOptions(inbox=inbox, dry_run=dry_run, session=session, jobs=workers)
    with ShownProgress() as progress:
        report = Run(settings, options, progress).execute()
    if as_json:
        click.echo(json.dumps(report_data(report), indent=2))
    else:
        for line in report_lines(report, dry_run=dry_run):
            click.echo(line)
    ctx.exit(report.exit_code)


@main.command()
@settings_option
@click.argument("question")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the answer as CSV.")
@click.pass_context
def query(ctx: click.Context, question: str, as_json: bool, as_csv: bool) -> None:
    """Ask QUESTION in LinkAhead's query language: FIND, COUNT or SELECT.

    Example: heartbrain query "FIND T1WeightedImage WITH RepetitionTime > 2 s"
    """
    from heartbrain_ingest.answers import ask
    from heartbrain_ingest.shown import print_table

    answer = ask(_settings(ctx), question)
    if as_json:
        click.echo(answer.as_json())
    elif as_csv:
        click.echo(answer.as_csv(), nl=False)
    elif answer.columns:
        print_table(answer.columns, answer.rows)
        click.echo(f"{answer.count} found")
    else:
        click.echo(str(answer.count))


@main.command()
@settings_option
@click.option("--files", "with_files", is_flag=True, help="Name the files in quarantine; their names may name people.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def status(ctx: click.Context, with_files: bool, as_json: bool) -> None:
    """Say how the site stands: deliveries, files, what needs a decision.

    Example: heartbrain status
    """
    from heartbrain_ingest.overview import site_status
    from heartbrain_ingest.shown import status_lines

    state = site_status(_settings(ctx), with_files=with_files)
    if as_json:
        click.echo(json.dumps(state.as_data(), indent=2))
        return
    for line in status_lines(state):
        click.echo(line)


@main.command()
@settings_option
@click.argument("what")
@click.pass_context
def explain(ctx: click.Context, what: str) -> None:
    """Say where an input FILE or a SERIES went, and which rule decided it.

    WHAT is the path of an input file, or a published file, folder or series, or a part of its name.

    Example: heartbrain explain 0004_t1_mprage.zip
    """
    from heartbrain_ingest.overview import explain as explained

    found = explained(_settings(ctx), what)
    if not found:
        click.echo("The ledger knows nothing of it.", err=True)
        ctx.exit(ATTENTION)
    for one in found:
        click.echo(one.subject)
        for line in one.lines:
            click.echo(f"  {line}")


@main.command()
@settings_option
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--bids/--no-bids", default=True, show_default=True, help="Compose each project's BIDS dataset and validate it."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def check(ctx: click.Context, path: Path | None, bids: bool, as_json: bool) -> None:
    """Check what is published: Standardized Filesystem, checksums, BIDS.

    PATH is an archive; the site's own by default.

    Example: heartbrain check
    """
    from heartbrain_ingest.checks import check_archive

    archive = path or _settings(ctx).folders.archive
    result = check_archive(archive, with_bids=bids)
    if as_json:
        click.echo(json.dumps(result.as_data(), indent=2))
    else:
        for line in result.lines():
            click.echo(line)
    ctx.exit(ATTENTION if result.problems else GOOD)


class _LinkAheadCommands(click.Group):
    """Does the same for the errors of the embedded LinkAhead, which knows nothing of this package."""

    def invoke(self, ctx: click.Context) -> Any:
        from linkahead_embedded.errors import EmbeddedError

        try:
            return super().invoke(ctx)
        except EmbeddedError as error:
            click.echo(f"heartbrain: {error}", err=True)
            ctx.exit(FAILED)


@main.group(cls=_LinkAheadCommands)
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
        settings = _settings(ctx)
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

    done = back_up(database or _settings(ctx).database, file)
    click.echo(f"{file}: {done.entities} entities, {done.files} uploaded files; the copy is sound")


def _connect(ctx: click.Context, database: Path | None, file_root: Path | None, ini: Path | None) -> None:
    """Point the client at the LinkAhead that the options or else the settings name."""
    from heartbrain_ingest.crawl.connection import connect

    if database is not None or ini is not None:
        connect(ini=ini, database=database or Path(), file_root=file_root)
        return
    settings = _settings(ctx)
    connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)


def _place_options(function: Any) -> Any:
    """Let a command say which LinkAhead it is about."""
    function = click.option(
        "--ini", type=click.Path(exists=True, path_type=Path), help="`pylinkahead.ini` of a LinkAhead server."
    )(function)
    function = click.option(
        "--file-root", type=click.Path(exists=True, path_type=Path), help="Folder that its file paths start from."
    )(function)
    return click.option(
        "--database",
        type=click.Path(path_type=Path),
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
@_place_options
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


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    main()
