"""All that both sides must agree on: life-cycle, documents, keys, signatures, and how events are written."""

from hpc_bridge.digests import nonce
from hpc_bridge.protocol import keys
from hpc_bridge.protocol.calls import HEADER as SIGNATURE_HEADER
from hpc_bridge.protocol.calls import check_call
from hpc_bridge.protocol.documents import (
    Description,
    EventRecord,
    FileEntry,
    Heartbeat,
    History,
    JobSpec,
    Manifest,
    OutputRules,
    Receipt,
    read_manifest,
    read_spec,
    sign_manifest,
    sign_spec,
)
from hpc_bridge.protocol.exchange import (
    Conclusion,
    close,
    conclude,
    describe_file,
    expire,
    fetch,
    publish,
    sweep,
    wish_cancel,
)
from hpc_bridge.protocol.journal import Journal, Standing
from hpc_bridge.protocol.lifecycle import FINAL, OPEN, TRANSITIONS, WRITERS, Event, Side, State, advance
from hpc_bridge.protocol.parameters import check_schema, fill
from hpc_bridge.protocol.signing import SigningKey, VerifyKey, canonical, load_keys, sign, verify

__all__ = [
    "FINAL", "OPEN", "SIGNATURE_HEADER", "TRANSITIONS", "WRITERS", "Conclusion", "Description", "Event",
    "EventRecord", "FileEntry", "Heartbeat", "History", "JobSpec", "Journal", "Manifest", "OutputRules", "Receipt",
    "Side", "SigningKey", "Standing", "State", "VerifyKey", "advance", "canonical", "check_call", "check_schema",
    "close", "conclude", "describe_file", "expire", "fetch", "fill", "keys", "load_keys", "nonce", "publish",
    "read_manifest", "read_spec", "sign", "sign_manifest", "sign_spec", "sweep", "verify", "wish_cancel",
]  # fmt: skip
