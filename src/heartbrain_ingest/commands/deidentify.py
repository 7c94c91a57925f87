"""`heartbrain deidentify`: what the site's rules do to each attribute, and whether they do it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from heartbrain_ingest.commands.base import ATTENTION, GOOD, settings_of, settings_option

if TYPE_CHECKING:
    from heartbrain_ingest.deidentify import Rules

RULES = "deidentification.yml"


@click.command()
@settings_option
@click.argument("what", nargs=-1)
@click.option("--describe", is_flag=True, help="Say what happens to each attribute and which rule says so.")
@click.option("--selftest", is_flag=True, help="Plant invented identifiers everywhere and score what the rules do.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def deidentify(ctx: click.Context, what: tuple[str, ...], describe: bool, selftest: bool, as_json: bool) -> None:
    """Show what the site's rules of de-identification do, or test them.

    WHAT picks attributes by a part of their keyword, tag or rule; all by default. `--selftest` ends with 1 when an
    identifier got through, or when something that must stay did not.

    Example: heartbrain deidentify --describe PatientAge 0008,1030
    """
    if describe == selftest:
        raise click.UsageError("Choose one of --describe and --selftest.")
    from heartbrain_ingest.deidentify import load_rules

    rules = load_rules(settings_of(ctx).rules(RULES))
    if describe:
        _describe(rules, what, as_json=as_json)
        return
    ctx.exit(_selftest(rules, as_json=as_json))


def _describe(rules: Rules, what: tuple[str, ...], *, as_json: bool) -> None:
    from heartbrain_ingest.shown import print_table

    wanted = [word.lower().strip("()") for word in what]
    rows = [
        one
        for one in rules.describe()
        if not wanted or any(word in f"{one.attribute} {one.tag} {one.rule}".lower() for word in wanted)
    ]
    if as_json:
        head = {"version": rules.version, "digest": rules.digest, "options": [str(option) for option in rules.options]}
        click.echo(json.dumps({**head, "rules": [one._asdict() for one in rows]}, indent=2))
        return
    click.echo(f"rules {rules.version}, {rules.digest[:12]}; on: {', '.join(rules.options)}")
    print_table(
        ("tag", "attribute", "action", "rule"), [(one.tag, one.attribute, one.action, one.rule) for one in rows]
    )
    click.echo(f"{len(rows)} rules")


def _selftest(rules: Rules, *, as_json: bool) -> int:
    from heartbrain_ingest.deidentify.selftest import run_selftest
    from heartbrain_ingest.shown import print_table

    score = run_selftest(rules)
    if as_json:
        click.echo(json.dumps(score.as_data(), indent=2))
    else:
        print_table(("category", "required", "correct", "score"), score.table())
        if score.failures:
            print_table(("vendor", "attribute", "required", "but"), score.failed())
        click.echo(f"{score.correct} of {score.required} required actions are right: {score.percent:.2f} %")
    return ATTENTION if score.failures else GOOD
