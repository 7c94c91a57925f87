"""The commands. No logic here: each reads its options, calls one function and shows what it gave."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import click

from heartbrain_ingest import __version__
from heartbrain_ingest.commands.base import ATTENTION, GOOD, Commands, settings_of, settings_option

_EPILOG = "Exit codes: 0 all good, 1 something needs the steward, 2 the command could not work."


_ELSEWHERE = {
    "bridge": "heartbrain_ingest.commands.bridge:bridge",
    "run": "heartbrain_ingest.commands.run:run",
    "export": "heartbrain_ingest.commands.export:export",
    "deidentify": "heartbrain_ingest.commands.deidentify:deidentify",
    "linkahead": "heartbrain_ingest.commands.linkahead:linkahead",
    "doctor": "heartbrain_ingest.commands.doctor:doctor",
    "quarantine": "heartbrain_ingest.commands.quarantine:quarantine",
    "remap": "heartbrain_ingest.commands.remap:remap",
    "serve": "heartbrain_ingest.commands.serve:serve",
    "crate": "heartbrain_ingest.commands.crate:crate",
}


@click.group(
    cls=Commands,
    elsewhere=_ELSEWHERE,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a new site in FOLDER: settings, rules, folders, key.

    What is there already stays as it is.

    Example: heartbrain init /srv/heartbrain
    """
    from heartbrain_ingest.settings import load_settings
    from heartbrain_ingest.site import FIRST_LOGIN, make_site

    settings = make_site(folder)
    click.echo(f"The site is ready. Its settings: {settings}")
    login = load_settings(settings).folders.state / FIRST_LOGIN
    if login.is_file():
        click.echo(f"Name and password for the portal (`heartbrain serve`): in {login}")
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
    from heartbrain_ingest.runs import noted
    from heartbrain_ingest.shown import ShownProgress, report_data, report_lines, start_log

    settings = settings_of(ctx)
    start_log(settings.folders.logs)
    workers = 1 if executor == "serial" else jobs
    options = RunOptions(inbox=inbox, dry_run=dry_run, session=session, jobs=workers)
    with ShownProgress() as progress, noted(settings) as done:
        report = Run(settings, options, progress).execute()
        done.append(report)
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

    answer = ask(settings_of(ctx), question)
    for hint in answer.hints:
        click.echo(hint, err=True)
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

    state = site_status(settings_of(ctx), with_files=with_files)
    if as_json:
        click.echo(json.dumps(state.as_data(), indent=2))
        return
    for line in status_lines(state):
        click.echo(line)


@main.command()
@settings_option
@click.argument("what")
@click.option("--beside", metavar="RESULT", help="Say what this other result says differently.")
@click.pass_context
def explain(ctx: click.Context, what: str, beside: str | None) -> None:
    """Say where an input FILE or a SERIES went and why, or where a RESULT comes from.

    WHAT is the path of an input file, or a published file, folder or series, or a part of its name; or the folder or
    request of a result: then every input is named and checked, down to its DICOM files.

    Example: heartbrain explain 0004_t1_mprage.zip
    """
    from heartbrain_ingest import provenance
    from heartbrain_ingest.overview import Explanation
    from heartbrain_ingest.overview import explain as explained

    settings = settings_of(ctx)
    archive = settings.folders.archive
    if beside is not None:
        first, second = (provenance.trace(archive, provenance.only_result(archive, one)) for one in (what, beside))
        for name, one, other in provenance.compare(first, second):
            click.echo(f"{name}: {one} | {other}")
        return
    traces = [provenance.trace(archive, folder) for folder in provenance.find_results(archive, what)]
    found = [Explanation(subject=one.place, lines=tuple(one.lines())) for one in traces] or explained(settings, what)
    if not found:
        click.echo("Neither the ledger nor the results know anything of it.", err=True)
        ctx.exit(ATTENTION)
    for explanation in found:
        click.echo(explanation.subject)
        for line in explanation.lines:
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
    """Check what is published: Standardized Filesystem, checksums, BIDS, and that nothing is gone.

    PATH is an archive; by default the site's own, compared with its ledger and with what it withholds.

    Example: heartbrain check
    """
    from heartbrain_ingest.checks import check_archive, check_site

    result = check_archive(path, with_bids=bids) if path else check_site(settings_of(ctx), with_bids=bids)
    if as_json:
        click.echo(json.dumps(result.as_data(), indent=2))
    else:
        for line in result.lines():
            click.echo(line)
    ctx.exit(ATTENTION if result.problems else GOOD)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    main()
