"""`heartbrain doctor`: every dependency, folder and setting, with what to do."""

from __future__ import annotations

import json

import click

from heartbrain_ingest.commands.base import settings_option


@click.command()
@settings_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look at everything that a run needs and say what to do.

    Exit code 1 when somebody should look at something, 2 when a run would fail.

    Example: heartbrain doctor --settings /srv/heartbrain/heartbrain.yml
    """
    from heartbrain_ingest.doctor import examine, exit_code
    from heartbrain_ingest.settings import find_settings

    findings = examine(find_settings(ctx.obj.get("settings")))
    if as_json:
        click.echo(json.dumps([finding.as_data() for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(finding.line())
    ctx.exit(exit_code(findings))
