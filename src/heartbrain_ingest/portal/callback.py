"""Where the agent rings when a job is over."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest.postprocessing.callback import MOST_BYTES, Doorbell, open_doorbell
from heartbrain_ingest.settings import Settings
from hpc_bridge.protocol import SIGNATURE_HEADER


def open_bell(settings: Settings) -> Doorbell:
    """Give the doorbell of the site."""
    return open_doorbell(settings)


async def ring(request: Request) -> Response:
    """Take one call of an agent; what it proves itself with is checked before anything of it is read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            break
    doorbell: Doorbell = request.app.state.doorbell
    answer = doorbell.ring(request.path_params["route"], body, request.headers.get(SIGNATURE_HEADER, ""))
    return Response(status_code=answer.status)


ROUTES = [Route("/callback/{route}", ring, methods=["POST"])]
