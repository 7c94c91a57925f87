"""The agent's call that a job is over: it wakes the exchange and does nothing else.

The call proves that it comes from who shares the secret, and that it is young; its content is not used. So a lost call
delays the result until the next exchange, a repeated or replayed one costs an exchange that finds nothing, and a forged
one is refused before it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from heartbrain_ingest.postprocessing.errors import BridgeSettingsError
from heartbrain_ingest.postprocessing.routes import routes_of
from heartbrain_ingest.settings import Settings
from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol import check_call

#: Larger calls are refused unread.
MOST_BYTES = 10_000
#: The same state of the same job wakes the exchange once in this time.
_QUIET = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the caller is told: an HTTP status, and nothing else."""

    status: int
    is_woken: bool = False


class Doorbell:
    """Takes calls.

    Parameters
    ----------
    secrets
        The secrets shared with the agents, by route.
    wake
        Wakes the exchange.
    clock
        Gives the time, with a zone.
    """

    def __init__(
        self,
        secrets: Mapping[str, bytes],
        *,
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._secrets = dict(secrets)
        self._wake = wake
        self._clock = clock
        self._heard: dict[object, datetime] = {}

    def ring(self, route: str, body: bytes, signature: str) -> Answer:
        """Take one call: 204 whenever it is genuine, 413 when it is too large, else 403 for whatever reason."""
        if len(body) > MOST_BYTES:
            return Answer(status=413)
        secret = self._secrets.get(route)
        now = self._clock()
        try:
            # An unknown route takes as long as a forged call.
            about = check_call(secret or b"no secret", body, signature, now)
        except BridgeError:
            return Answer(status=403)
        if secret is None:
            return Answer(status=403)
        self._heard = {what: at for what, at in self._heard.items() if now - at < _QUIET}
        if about in self._heard:
            return Answer(status=204)
        self._heard[about] = now
        self._wake()
        return Answer(status=204, is_woken=True)


def open_doorbell(settings: Settings) -> Doorbell:
    """Give the doorbell of a site; routes without a secret take no calls.

    Raises
    ------
    BridgeSettingsError
        When a secret is missing, empty or may be read by others.
    """
    from heartbrain_ingest.postprocessing import bridge  # noqa: PLC0415 - loads the client

    secrets = {
        route.name: read_secret(route.callback_secret)
        for route in routes_of(settings)
        if route.callback_secret is not None
    }
    return Doorbell(secrets, wake=lambda: bridge.wake(settings), clock=bridge.utc_now)


def read_secret(path: Path) -> bytes:
    """Read a shared secret: one line of text.

    Raises
    ------
    BridgeSettingsError
        When it is missing, empty or may be read by others.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise BridgeSettingsError(f"{path.name} must be readable by its owner alone: chmod 600")
        secret = path.read_bytes().strip()
    except OSError as problem:
        raise BridgeSettingsError(f"{path.name}: {problem.strerror}") from None
    if not secret:
        raise BridgeSettingsError(f"{path.name} is empty")
    return secret
