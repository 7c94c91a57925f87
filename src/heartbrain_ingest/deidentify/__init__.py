"""Take from headers what identifies people, keep what science needs, and check that nothing slipped through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heartbrain_ingest.deidentify.again import Tightener
    from heartbrain_ingest.deidentify.audit import Leak, LeakAudit
    from heartbrain_ingest.deidentify.collector import IdentifierCollector
    from heartbrain_ingest.deidentify.defacing import defacing_problem, shows_face
    from heartbrain_ingest.deidentify.deidentifier import Deidentifier
    from heartbrain_ingest.deidentify.identifiers import Identifiers, Kind
    from heartbrain_ingest.deidentify.pseudonyms import Pseudonyms, Subject
    from heartbrain_ingest.deidentify.rules import Exemptions, Rules, load_rules
    from heartbrain_ingest.deidentify.table import Option

#: Where each public name lives; loaded when asked for, since pydicom's dictionary takes a third of a second.
_HOMES = {
    "Deidentifier": "deidentifier",
    "Exemptions": "rules",
    "IdentifierCollector": "collector",
    "Identifiers": "identifiers",
    "Kind": "identifiers",
    "Leak": "audit",
    "LeakAudit": "audit",
    "Option": "table",
    "Pseudonyms": "pseudonyms",
    "Rules": "rules",
    "Subject": "pseudonyms",
    "Tightener": "again",
    "defacing_problem": "defacing",
    "load_rules": "rules",
    "shows_face": "defacing",
}

__all__ = [
    "Deidentifier",
    "Exemptions",
    "IdentifierCollector",
    "Identifiers",
    "Kind",
    "Leak",
    "LeakAudit",
    "Option",
    "Pseudonyms",
    "Rules",
    "Subject",
    "Tightener",
    "defacing_problem",
    "load_rules",
    "shows_face",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
