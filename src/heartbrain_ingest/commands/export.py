"""`heartbrain export`: what a question finds, as a BIDS dataset."""

from __future__ import annotations

import json
from pathlib import Path

import click

from heartbrain_ingest.commands.base import ATTENTION, GOOD, settings_of, settings_option


@click.command()
@settings_option
@click.argument("question")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--copy", is_flag=True, help="Copy the files; without it the dataset links to the archive.")
@click.option("--check/--no-check", default=True, show_default=True, help="Run the BIDS validator over the dataset.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def export(ctx: click.Context, question: str, folder: Path, copy: bool, check: bool, as_json: bool) -> None:
    """Compose a BIDS dataset in FOLDER of the images that QUESTION finds.

    Of found sessions, subjects and projects all images and recordings are taken. FOLDER is new or empty.

    Example: heartbrain export "FIND T1WeightedImage WITH ce" t1_with_contrast
    """
    from heartbrain_ingest.exports import export as exported

    done = exported(settings_of(ctx), question, folder, copy=copy, check=check)
    if as_json:
        click.echo(json.dumps(done.as_data(), indent=2))
    else:
        for line in done.lines():
            click.echo(line)
    ctx.exit(ATTENTION if done.errors else GOOD)
