"""`heartbrain quarantine`: what is in quarantine, why, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from heartbrain_ingest.commands.base import settings_of, settings_option
from heartbrain_ingest.quarantine import LOOKED_AT

_FILES = click.option("--files", "with_files", is_flag=True, help="Name the files; their names may name people.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group()
def quarantine() -> None:
    """See, release and discard what was not published.

    WHAT is the number of a file, a session (ses-20230504, sub-K7Q2_ses-20230504), one of its series (ses-20230504/4), a
    laboratory delivery (delivery-7), a code (EMPTY_FILE), or the path of an input file.
    """


@quarantine.command("list")
@settings_option
@_FILES
@_JSON
@click.pass_context
def list_(ctx: click.Context, with_files: bool, as_json: bool) -> None:
    """Say what is in quarantine, by session, series and code.

    Example: heartbrain quarantine list
    """
    _show(ctx, (), with_files=with_files, as_json=as_json, fully=False)


@quarantine.command()
@settings_option
@click.argument("what", nargs=-1, required=True)
@_FILES
@_JSON
@click.pass_context
def explain(ctx: click.Context, what: tuple[str, ...], with_files: bool, as_json: bool) -> None:
    """Say why WHAT is in quarantine and what can be done.

    Example: heartbrain quarantine explain ses-20230504
    """
    _show(ctx, what, with_files=with_files, as_json=as_json, fully=True)


def _show(ctx: click.Context, what: Sequence[str], *, with_files: bool, as_json: bool, fully: bool) -> None:
    from heartbrain_ingest.quarantine import listed

    groups = listed(settings_of(ctx), what, with_files=with_files)
    if as_json:
        click.echo(json.dumps([group.as_data() for group in groups], indent=2))
        return
    for group in groups:
        for line in group.lines(fully=fully):
            click.echo(line)
    if not groups:
        click.echo("Nothing is in quarantine.")


@quarantine.command()
@settings_option
@click.argument("what", nargs=-1, required=True)
@click.option(
    "--i-looked-at-it",
    "reason",
    metavar="WHAT-YOU-SAW",
    help=f"Needed to overrule {', '.join(LOOKED_AT)}. Stands in the certificate: no names.",
)
@_JSON
@click.pass_context
def release(ctx: click.Context, what: tuple[str, ...], reason: str | None, as_json: bool) -> None:
    """Let the next run take WHAT in again.

    What it found before it checks again, but for what somebody says to have looked at.

    Example: heartbrain quarantine release 17 --i-looked-at-it "only the scanner's ruler is in the picture"
    """
    from heartbrain_ingest.quarantine import release as released

    rows = released(settings_of(ctx), what, reason)
    _say(rows, as_json, f"{len(rows)} files released; `heartbrain ingest` takes them in again.")


@quarantine.command()
@settings_option
@click.argument("what", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why nobody wants it; stays in the ledger.")
@_JSON
@click.pass_context
def discard(ctx: click.Context, what: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Leave WHAT aside for good; the files stay in the inbox until somebody removes them.

    Example: heartbrain quarantine discard EMPTY_FILE --reason "transfer of 4 May failed, sent again"
    """
    from heartbrain_ingest.quarantine import discard as discarded

    rows = discarded(settings_of(ctx), what, reason)
    _say(rows, as_json, f"{len(rows)} files discarded.")


def _say(rows: Sequence[Any], as_json: bool, text: str) -> None:
    click.echo(json.dumps({"files": [row.id for row in rows]}) if as_json else text)
