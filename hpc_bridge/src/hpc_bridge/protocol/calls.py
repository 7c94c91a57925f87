"""The call by which an agent tells the RDM side that a job is over: its body, its signature, its check."""

from __future__ import annotations

import hmac
from datetime import datetime

from hpc_bridge.digests import nonce
from hpc_bridge.errors import DocumentError, SignatureError
from hpc_bridge.protocol.documents import CLOCK_TOLERANCE
from hpc_bridge.protocol.lifecycle import State
from hpc_bridge.protocol.signing import canonical, parse

HEADER = "X-Hpc-Bridge-Signature"
KIND = "hpc-bridge/callback/1"


def signature(secret: bytes, body: bytes) -> str:
    """Give the header's value for a body."""
    return "sha256=" + hmac.new(secret, body, "sha256").hexdigest()


def make_body(job: str, state: State, number: int, now: datetime) -> bytes:
    """Give what is sent."""
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return canonical(
        {"schema": KIND, "job": job, "state": state.value, "number": number, "time": moment, "nonce": nonce()}
    )


def check_call(secret: bytes, body: bytes, header: str, now: datetime) -> tuple[str, State]:
    """Check a call that arrived and give (job, state); a repeated one does no harm, for it only wakes the exchange.

    Raises
    ------
    SignatureError, DocumentError
        When it is forged, older than the clocks may differ, or no such call.
    """
    if len(body) > 10_000 or not hmac.compare_digest(signature(secret, body).encode(), header.encode()):  # noqa: PLR2004
        raise SignatureError("of the call")
    document = parse(body)
    try:
        moment = datetime.fromisoformat(str(document["time"]).replace("Z", "+00:00"))
        if document["schema"] != KIND or abs(now - moment) > CLOCK_TOLERANCE:
            raise DocumentError("a call of another time or kind")
        return str(document["job"]), State(document["state"])
    except (KeyError, ValueError, TypeError):
        raise DocumentError("no call of an agent") from None
