"""Lets the portal listen."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from heartbrain_ingest.errors import SettingsError
from heartbrain_ingest.portal.app import make_app
from heartbrain_ingest.portal.events import Board
from heartbrain_ingest.settings import Settings

_BACKLOG = 256


class _Server(uvicorn.Server):
    """Ends the streams of open pages first: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, board: Board) -> None:
        super().__init__(config)
        self._board = board

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._board.close()
        await super().shutdown(sockets)


def serve_portal(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Serve until stopped.

    Parameters
    ----------
    settings
        The site.
    announce
        Is told the address once the portal listens.

    Raises
    ------
    SettingsError
        When it can't listen there, or only half of the TLS settings are given.
    """
    portal = settings.portal
    if (portal.certificate is None) != (portal.private_key is None):
        raise SettingsError("portal.certificate and portal.private_key are only of use together")
    app = make_app(settings)
    try:
        listening = socket.create_server(
            (portal.host, portal.port),
            family=socket.AF_INET6 if ":" in portal.host else socket.AF_INET,
            backlog=_BACKLOG,
        )
    except OSError as problem:
        raise SettingsError(f"the portal can't listen on {portal.host}:{portal.port}: {problem.strerror}") from None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=portal.behind_tls,
        forwarded_allow_ips=",".join(portal.proxies),
        lifespan="off",
        timeout_graceful_shutdown=5,
        # Longer than people read: a connection that is closed while the next request is on its way is an error.
        timeout_keep_alive=75,
        ssl_certfile=portal.certificate,
        ssl_keyfile=portal.private_key,
    )
    port = listening.getsockname()[1]
    host = f"[{portal.host}]" if ":" in portal.host else portal.host
    announce(f"{'https' if portal.certificate else 'http'}://{host}:{port}/")
    with suppress(KeyboardInterrupt):  # how a person stops it
        _Server(config, app.state.board).run(sockets=[listening])
