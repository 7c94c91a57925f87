"""`heartbrain remap`: make published sessions again after the rules changed."""

from __future__ import annotations

import json

import click

from heartbrain_ingest.commands.base import settings_of, settings_option


@click.command()
@settings_option
@click.option("--where", help="A query (FIND ...) for sessions or images, or a part of a folder's name  [default: all]")
@click.option("--dry-run", is_flag=True, help="Say what would become a new revision; publish nothing.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes  [default: the setting `jobs`]")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def remap(ctx: click.Context, where: str | None, dry_run: bool, jobs: int | None, as_json: bool) -> None:
    """Name and convert what is published again, from its stored DICOM, after the rules changed.

    What comes out another way becomes a new revision; what comes out the same stays untouched.

    Example: heartbrain remap --where "FIND Session WITH Date > 2023-01-01" --dry-run
    """
    from heartbrain_ingest.remap import Remap
    from heartbrain_ingest.report import RunOptions
    from heartbrain_ingest.shown import ShownProgress, report_data, start_log

    settings = settings_of(ctx)
    start_log(settings.folders.logs)
    with ShownProgress() as progress:
        run = Remap(settings, where, RunOptions(dry_run=dry_run, jobs=jobs), progress)
        report = run.execute()
    if as_json:
        data = {**report_data(report), "unchanged": run.unchanged, "passed_over": run.passed_over}
        click.echo(json.dumps(data, indent=2))
        ctx.exit(report.exit_code)
    click.echo(f"{len(run.unchanged)} published folders are what the rules of now make; they stay as they are.")
    made = report.announced if dry_run else report.published
    click.echo(f"{len(made)} {'would become' if dry_run else 'became'} a new revision:" if made else "None differs.")
    for folder in made:
        click.echo(f"  {folder}")
    for folder in run.passed_over:
        click.echo(f"  passed over, since files wait for it: {folder}")
    for code, count in sorted(report.refused.items()):
        click.echo(f"{count} can't be made again ({code}); what is published stays.")
    if report.trouble:
        click.echo(f"Records are missing; the next run tries again. {report.trouble}")
    ctx.exit(report.exit_code)
