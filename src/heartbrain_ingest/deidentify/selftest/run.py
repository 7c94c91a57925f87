"""Run a site's rules over the planted headers and count what they did right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from heartbrain_ingest.deidentify.collector import IdentifierCollector
from heartbrain_ingest.deidentify.deidentifier import Deidentifier
from heartbrain_ingest.deidentify.pseudonyms import Pseudonyms, Subject
from heartbrain_ingest.deidentify.rules import Rules
from heartbrain_ingest.deidentify.selftest.checks import Output
from heartbrain_ingest.deidentify.selftest.headers import Header, vendor_headers
from heartbrain_ingest.deidentify.selftest.planting import DAYS, LABEL, Planter
from heartbrain_ingest.deidentify.selftest.score import Category, Score
from heartbrain_ingest.dicom import read

#: A key of its own: the score must not depend on the site's, and nothing made here is published.
_KEY: Final = b"heartbrain-ingest selftest, 32 b"
_NEW_UID: Final = re.compile(r"2\.25\.\d+")


def run_selftest(rules: Rules, headers: Iterable[Header] | None = None) -> Score:
    """Plant, de-identify, look.

    Parameters
    ----------
    rules
        The site's own.
    headers
        Where to plant; synthetic headers of all vendors unless given.
    """
    score = Score()
    for header in vendor_headers() if headers is None else headers:
        _run_header(rules, header, score)
    return score


def _run_header(rules: Rules, header: Header, score: Score) -> None:
    planted = list(Planter(header, rules.options).files())
    originals = [read(one.data) for one in planted]
    collector = IdentifierCollector(rules.retained)
    for file in originals:
        collector.add(file)
    deidentifier = Deidentifier(rules, Pseudonyms(_KEY))
    subject = Subject(LABEL.removeprefix("sub-"), DAYS)
    new_by_old: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for one, file in zip(planted, originals, strict=True):
        output = Output(read(deidentifier.deidentify(file, subject, collector.identifiers)))
        for requirement in one.requirements:
            score.note(header.vendor, requirement.attribute, requirement.category, requirement.check(output))
        for name, old, path in one.uids:
            value = output.value(path)
            if value:
                new_by_old.setdefault(old, set()).add(value.decode("latin-1"))
                names.setdefault(old, name)
    taken: dict[str, str] = {}
    for old, new in sorted(new_by_old.items()):
        score.note(header.vendor, names[old], Category.UIDS, _uid_reason(old, new, taken))


def _uid_reason(old: str, new: set[str], taken: dict[str, str]) -> str | None:
    if len(new) > 1:
        return "one UID became several"
    (uid,) = new
    if not _NEW_UID.fullmatch(uid):
        return "it is no keyed UID"
    return "two UIDs became one" if taken.setdefault(uid, old) != old else None
