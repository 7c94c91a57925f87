"""`heartbrain run`: ask for a function to be run on what a question finds."""

from __future__ import annotations

import json
from typing import Any

import click

from heartbrain_ingest.commands.base import ATTENTION, settings_of, settings_option


@click.command()
@settings_option
@click.argument("function", required=False)
@click.option("--where", metavar="FIND...", help="Run it on each record that this question finds.")
@click.option("--group", metavar="NAME", help="Run it on each image of this ImageGroup.")
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="A parameter of the function; repeatable.")
@click.option("--version", "version", default="", help="Version of the function  [default: the newest]")
@click.option("--together", is_flag=True, help="One request with all inputs instead of one for each.")
@click.option("--again", is_flag=True, help="Also what has a result, or is under way, with the same parameters.")
@click.option("--as", "user", default=None, help="LinkAhead user who asks  [default: the user of this machine]")
@click.option("--dry-run", is_flag=True, help="Say what would run, on how much, for how long; ask for nothing.")
@click.option("--list", "listing", is_flag=True, help="Say what can be run.")
@click.option("--show", is_flag=True, help="Describe FUNCTION and its parameters.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def run(
    ctx: click.Context,
    *,
    function: str | None,
    where: str | None,
    group: str | None,
    params: tuple[str, ...],
    version: str,
    together: bool,
    again: bool,
    user: str | None,
    dry_run: bool,
    listing: bool,
    show: bool,
    as_json: bool,
) -> None:
    """Ask for FUNCTION to be run at the computing centre.

    What has a result with the same version and parameters is offered, not run again.

    Example: heartbrain run ivim --where "FIND DiffusionWeightedImage WITH NumberOfBValuesBelow200 >= 4" --dry-run
    """
    from heartbrain_ingest.postprocessing import bridge, registration
    from heartbrain_ingest.postprocessing.catalogue import look_up

    settings = settings_of(ctx)
    bridge.connect(settings)
    user = user or registration.own_user_name()
    catalogue = registration.read_catalogue(settings, user)
    if listing or function is None:
        _show_list(catalogue, as_json=as_json)
        return
    if show:
        _show_function(look_up(catalogue, function, version), as_json=as_json)
        return
    if (where is None) == (group is None):
        raise click.UsageError("say what to run it on: either --where or --group")
    inputs = registration.find_inputs(where) if where is not None else registration.group_inputs(group or "")
    plan = registration.preflight(
        settings,
        catalogue=catalogue,
        function=function,
        inputs=inputs,
        words=params,
        version=version,
        together=together,
        again=again,
    )
    names = [] if dry_run else registration.register(plan, user=user)
    if as_json:
        click.echo(json.dumps({**plan.as_data(), "registered": names}, indent=2))
    else:
        for line in plan.lines():
            click.echo(line)
        if dry_run:
            click.echo("Nothing was asked for: this was a dry run.")
        elif names:
            click.echo(f"{len(names)} requests registered; `heartbrain bridge` sends them.")
        else:
            click.echo("Nothing was asked for.")
    if any(item.problems for item in plan.items) or not plan.items:
        ctx.exit(ATTENTION)


def _show_list(catalogue: list[Any], *, as_json: bool) -> None:
    from heartbrain_ingest.postprocessing.catalogue import newest

    offered = newest(catalogue)
    if as_json:
        facts = [
            {"function": one.name, "version": one.version, "title": one.title, "unavailable": one.unavailable or None}
            for one in offered.values()
        ]
        click.echo(json.dumps(facts, indent=2))
        return
    for name, one in sorted(offered.items()):
        click.echo(f"{name:24} {one.version:8} {one.title}")
        if one.unavailable:
            click.echo(f"{'':24} not at the moment: {one.unavailable}")
    if not offered:
        click.echo("No computing centre offers anything yet; docs/howto-hpc.md says how an agent is set up.")


def _show_function(one: Any, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(one.to_dict(), indent=2))
        return
    click.echo(f"{one.name} {one.version}: {one.title}")
    if one.unavailable:
        click.echo(f"Not at the moment: {one.unavailable}")
    for line in (one.description, f"Licence: {one.licence}" if one.licence else ""):
        if line:
            click.echo(line)
    needs = ", ".join(one.needs.record_types) or "any image or recording"
    click.echo(f"Works on: {needs}")
    properties = one.parameters.get("properties", {})
    click.echo("Parameters:" if properties else "It takes no parameters.")
    for name, schema in properties.items():
        unit = f" [{schema['unit']}]" if "unit" in schema else ""
        default = f"  (default: {json.dumps(schema['default'])})" if "default" in schema else ""
        text = schema.get("description") or schema.get("title") or ""
        click.echo(f"  {name}{unit}: {text}{default}")
