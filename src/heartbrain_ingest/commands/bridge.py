"""`heartbrain bridge`: send requests, collect results."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict

import click

from heartbrain_ingest.commands.base import ATTENTION, settings_of, settings_option


@click.group(invoke_without_command=True)
@settings_option
@click.option("--watch", is_flag=True, help="Exchange again and again until stopped, at once when an agent calls.")
@click.option("--attached", is_flag=True, help="With --watch: end when standard input does, so with who started it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, one line for each exchange.")
@click.pass_context
def bridge(ctx: click.Context, *, watch: bool, attached: bool, as_json: bool) -> None:
    """Do one exchange with the computing centre: send new requests, collect finished jobs, crawl results.

    Killed anywhere, the next exchange goes on.

    Example: heartbrain bridge --watch
    """
    if ctx.invoked_subcommand is not None:
        return
    from heartbrain_ingest.postprocessing import bridge as exchange
    from heartbrain_ingest.shown import start_log

    settings = settings_of(ctx)
    start_log(settings.folders.logs)

    def show(report: exchange.BridgeReport) -> None:
        if as_json:
            click.echo(json.dumps(asdict(report)))
        elif not watch or report.did_anything or report.troubles:
            for line in report.lines():
                click.echo(line)

    if watch:
        if attached:
            threading.Thread(target=_end_with_input, daemon=True).start()
        exchange.connect(settings)
        exchange.watch(exchange.Site(settings), settings, show)
        return
    exchange.connect(settings)
    report = exchange.Site(settings).exchange()
    show(report)
    if report.troubles:
        ctx.exit(ATTENTION)


@bridge.command()
@settings_option
@click.argument("requests", nargs=-1, required=True)
@click.pass_context
def cancel(ctx: click.Context, requests: tuple[str, ...]) -> None:
    """End REQUESTS, by name or number; the next exchange passes it on.

    Example: heartbrain bridge cancel R-4f1c09a2b3d5
    """
    _wish(ctx, requests, "cancel")


@bridge.command()
@settings_option
@click.argument("requests", nargs=-1, required=True)
@click.pass_context
def retry(ctx: click.Context, requests: tuple[str, ...]) -> None:
    """Try REQUESTS once more that ended without a result; the next exchange sends them.

    Example: heartbrain bridge retry R-4f1c09a2b3d5
    """
    _wish(ctx, requests, "retry")


@bridge.command()
@settings_option
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Print the public key of each route, for the agent's list of trusted keys.

    Example: heartbrain bridge keys
    """
    from heartbrain_ingest.postprocessing import bridge as exchange
    from heartbrain_ingest.postprocessing.routes import routes_of

    settings = settings_of(ctx)
    for route in routes_of(settings):
        click.echo(exchange.signing_key(settings, route).public.line(f"{settings.bridge.site}-{route.name}"))


@bridge.command()
@settings_option
@click.argument("route")
@click.option("--rdm", required=True, metavar="ARN", help="The store's name of this side's user.")
@click.option("--agent", required=True, metavar="ARN", help="The store's name of the agent's user.")
@click.pass_context
def policy(ctx: click.Context, route: str, rdm: str, agent: str) -> None:
    """Print the policy of a ROUTE's bucket: the rules of both sides, as JSON, for the bucket's owner to set.

    With it this side can't write results, and the agent can't write requests.

    Example: heartbrain bridge policy centre --rdm arn:aws:iam:::user/rdm --agent arn:aws:iam:::user/agent > policy.json
    """
    from heartbrain_ingest.postprocessing.routes import bucket_policy

    click.echo(json.dumps(bucket_policy(settings_of(ctx), route, rdm=rdm, agent=agent), indent=2))


def _end_with_input() -> None:
    """End the process when nothing more can come; an exchange may be ended anywhere."""
    sys.stdin.buffer.read()
    os._exit(0)


def _wish(ctx: click.Context, requests: tuple[str, ...], wish: str) -> None:
    from heartbrain_ingest.postprocessing import bridge as exchange
    from heartbrain_ingest.postprocessing.requests import Status
    from heartbrain_ingest.postprocessing.wishes import wish_for

    exchange.connect(settings_of(ctx))
    answers = wish_for(requests, Status(wish))
    for one in answers:
        click.echo(one.text)
    if not all(one.is_granted for one in answers):
        ctx.exit(ATTENTION)
