"""`heartbrain serve`: the portal."""

from __future__ import annotations

from contextlib import nullcontext

import click

from heartbrain_ingest.commands.base import settings_of, settings_option


@click.command()
@settings_option
@click.option("--host", help="Address to listen on  [default: the setting `portal.host`]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on  [default: the setting `portal.port`]")
@click.option("--exchange", is_flag=True, help="Also run `heartbrain bridge --watch`, which ends with the portal.")
@click.pass_context
def serve(ctx: click.Context, *, host: str | None, port: int | None, exchange: bool) -> None:
    """Serve the portal: ask, look, click, follow, in a browser.

    By itself the portal only writes down what is asked for. `heartbrain bridge --watch` brings it to the computing
    centre and the results back: started by hand or as a service of its own, or with --exchange beside the portal.

    Example: heartbrain serve --port 8080 --exchange
    """
    from heartbrain_ingest.portal.beside import exchange_command, running
    from heartbrain_ingest.portal.serving import serve_portal
    from heartbrain_ingest.settings import find_settings
    from heartbrain_ingest.shown import start_log

    settings = settings_of(ctx)
    start_log(settings.folders.logs)
    portal = settings.portal
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"portal": portal.model_copy(update=changed)})
    beside = running(exchange_command(find_settings(ctx.obj.get("settings")))) if exchange else nullcontext()
    with beside:
        serve_portal(settings, announce=lambda address: click.echo(f"The portal is at {address}. Stop it with Ctrl-C."))
