"""`heartbrain serve`: the portal."""

from __future__ import annotations

import click

from heartbrain_ingest.commands.base import settings_of, settings_option


@click.command()
@settings_option
@click.option("--host", help="Address to listen on  [default: the setting `portal.host`]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on  [default: the setting `portal.port`]")
@click.pass_context
def serve(ctx: click.Context, host: str | None, port: int | None) -> None:
    """Serve the portal: ask, look, click, follow, in a browser.

    `heartbrain bridge --watch`, started beside it, brings the requests to the computing centre.

    Example: heartbrain serve --port 8080
    """
    from heartbrain_ingest.portal.serving import serve_portal
    from heartbrain_ingest.shown import start_log

    settings = settings_of(ctx)
    start_log(settings.folders.logs)
    portal = settings.portal
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"portal": portal.model_copy(update=changed)})
    serve_portal(settings, announce=lambda address: click.echo(f"The portal is at {address}. Stop it with Ctrl-C."))
