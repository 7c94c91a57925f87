"""Requests in plain words, in the visitor's language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from heartbrain_ingest.portal.centres import Stand
from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.postprocessing.requests import ACTIVE, WORDS, Request, Status

_MB, _GB = 10**6, 10**9


def N_(text: str) -> str:  # noqa: N802 - the name by which texts are found that are translated later
    """Mark a text."""
    return text


@dataclass(frozen=True, kw_only=True)
class Words:
    """Where a request stands, as it is read."""

    #: `soft`, `good`, `warn` or `bad`: how the page marks it, beside the words.
    tone: str
    text: str
    #: What the computing centre or the exchange said of it.
    detail: str = ""
    #: What to do.
    advice: str = ""


_TEXTS = {
    Status.NEW: ("soft", N_("about to be sent")),
    Status.SENT: ("soft", N_("waiting at the computing centre")),
    Status.STAGING: ("soft", N_("the data are brought into place at the computing centre")),
    Status.SUBMITTING: ("soft", N_("waiting at the computing centre")),
    Status.RUNNING: ("soft", N_("waiting or running at the computing centre")),
    Status.UPLOADING: ("soft", N_("done; the result is on its way")),
    Status.CANCEL: ("warn", N_("being cancelled")),
    Status.CANCELLING: ("warn", N_("being cancelled")),
    Status.RETRY: ("soft", N_("about to be tried again")),
    Status.FINISHED: ("good", N_("finished")),
    Status.FAILED: ("bad", N_("failed")),
    Status.CANCELLED: ("warn", N_("cancelled")),
    Status.LOST: ("bad", N_("lost: nobody knows what became of it")),
    Status.REFUSED: ("bad", N_("not sent")),
}
#: What counts of a batch are called.
COUNTED = (
    ("soft", N_("under way"), ACTIVE),
    ("good", N_("finished"), frozenset({Status.FINISHED})),
    ("bad", N_("without a result"), frozenset({Status.FAILED, Status.LOST, Status.REFUSED})),
    ("warn", N_("cancelled"), frozenset({Status.CANCELLED})),
)


def words_of(request: Request, stand: Stand, _: Translate, *, responsible: str) -> Words:
    """Say where a request stands.

    Parameters
    ----------
    request
        The request.
    stand
        Its job's place, as the computing centre tells.
    responsible
        Whom to tell of what one can't mend.
    """
    tone, text = _TEXTS[request.status]
    text = _(text)
    # Nobody but a program that runs tells how far it is.
    is_waiting = False if request.progress else stand.is_waiting
    if request.status is Status.RUNNING and is_waiting is not None:
        text = _("waiting at the computing centre") if is_waiting else _("running")
    if (
        stand.place is not None
        and not request.progress
        and request.status in {Status.SENT, Status.SUBMITTING, Status.RUNNING}
    ):
        text = _("%(state)s, %(place)s in line") % {"state": text, "place": ordinal(stand.place, _)}
    said = _said(request)
    return Words(tone=tone, text=text, detail=translate(said, _), advice=_advice(request, said, _, responsible))


#: What a message says of writing a status is for those who do so by hand; here there are buttons.
_BY_HAND = re.compile(r"(Correct it and s|S)et the status to `retry`[^.]*\.")
_HEAD = re.compile(r"^(Failed|The job failed|Refused): ")
_STILL = re.compile(r"^(It is still at work, so it is not tried again\.).*", re.DOTALL)
#: Of what is under way only this is news; the rest the words say already.
_NEWS = re.compile(r"still at work|It waits until|can't be believed|takes no more jobs|handed in again")
_OURS = frozenset(WORDS.values())
#: Messages that say themselves what to do.
_TELLS = re.compile(r"\b(ask|send|tell|correct|set|choose|try|is this)\b", re.IGNORECASE)
_TELL_STEWARD = re.compile(r"licen[cs]e|not offer|image of|can't be believed|parameter", re.IGNORECASE)
_LIMITS = re.compile(r"time limit|timeout|timed out|out of memory|OUT_OF_ME|memory|deadline", re.IGNORECASE)


def _said(request: Request) -> str:
    """Give what of a request's message is not said by its words."""
    message = request.message
    if message in _OURS or request.status in {Status.CANCELLED, Status.FINISHED}:
        return ""
    if not request.is_settled and not _NEWS.search(message):
        return ""
    return _BY_HAND.sub("", _STILL.sub(r"\1", _HEAD.sub("", message))).strip()


def _advice(request: Request, said: str, _: Translate, responsible: str) -> str:
    if request.status is Status.LOST:
        return _("Try it again.")
    if request.status not in {Status.FAILED, Status.REFUSED}:
        return ""
    if _LIMITS.search(said):
        return _("It needs more time or memory than it was given: tell %(who)s.") % {"who": responsible}
    if _TELL_STEWARD.search(said):
        return _("Tell %(who)s.") % {"who": responsible}
    if said and _TELLS.search(said):
        return ""
    if request.logs:
        return _("The log says more. If it tells you nothing, tell %(who)s; trying again does no harm.") % {
            "who": responsible
        }
    return _("Tell %(who)s; trying again does no harm.") % {"who": responsible}


def ordinal(number: int, _: Translate) -> str:
    """Give a place: 1st, 2nd ...; in German 1., 2. ..."""
    last = 0 if number % 100 in {11, 12, 13} else number % 10
    forms = {1: _("%dst"), 2: _("%dnd"), 3: _("%drd")}
    return forms.get(last, _("%dth")) % number


def size(number: int, _: Translate) -> str:
    """Give bytes as people read them."""
    if number < _MB:
        return _("less than 1 MB")
    if number < _GB:
        return _("%d MB") % round(number / _MB)
    return _("%.1f GB") % (number / _GB)


def duration(minutes: float, _: Translate) -> str:
    """Give a time as people say it."""
    whole = max(1, round(minutes))
    if whole < 120:  # noqa: PLR2004 - minutes still say something
        return _("%d min") % whole
    if whole < 48 * 60:
        return _("%d h") % round(whole / 60)
    return _("%d days") % round(whole / 60 / 24)


#: What functions, agents and the exchange say, so that it can be said in other languages. A text that is not here is
#: shown as it came.
_KNOWN = (
    N_("The series has %(have)s of %(all)s volumes: ask the scanner staff to send it again."),
    N_("series %(series)s has %(have)s of %(all)s volumes: ask the scanner staff to send it again"),
    N_("The image can't be read: send it again."),
    N_("The image has %(have)s dimensions; this function takes %(need)s."),
    N_("One %(what)s is needed; there are %(have)s."),
    N_("No brain with grey and white matter was found: is this a T1-weighted image?"),
    N_("No brain was found in the image."),
    N_("The image shows nothing but air."),
    N_("The series shows nothing but air."),
    N_("The brain does not show three tissues: is this a T1-weighted image?"),
    N_("The table of b-values can't be read: send the series again."),
    N_("A b-value is negative or no number: send the series again."),
    N_("The series has no table of b-values (.bval beside the image)."),
    N_("The mask has another matrix than the series."),
    N_("The model needs at least four different b-values; the series has %(have)s."),
    N_("This function takes no parameters."),
    # why a function can't run at the computing centre
    N_("It can't run at the computing centre: %(why)s."),
    N_("the image %(image)s is missing"),
    N_("%(program)s is not installed there"),
    N_("Its check at the computing centre ended with status %(status)s."),
    N_("The agent's Python lacks this project: install it there, or use the function's image."),
    N_("It waits until the computing centre can run it: %(why)s"),
    N_(
        "%(program)s is not there at the computing centre: use its container image, or write its folder into the file "
        "%(file)s of the agent."
    ),
    N_(
        "FreeSurfer's licence is missing: get one (free) from the FreeSurfer site and save it as %(file)s of the agent."
    ),
    N_("The program ended with %(how)s; its last words are in stderr.txt."),
    N_("The batch job ended without writing its exit file (%(state)s)."),
    N_("The batch job ended without writing its exit file."),
    N_("ended by the batch system or a person (%(signal)s)"),
    N_("The result can't be used: %(why)s"),
    N_("the required output %(name)s is missing"),
    N_("Its folder in scratch is gone."),
    N_("Neither queue nor accounting knows it any more."),
    N_("The batch system refused it: %(why)s"),
    N_("The batch system takes no more jobs now."),
    N_("The batch system does not know it: it is handed in again."),
    N_("The request names no function."),
    N_("The request names no inputs."),
    N_("Inputs are not in LinkAhead any more: %(which)s."),
    N_("A result came back but can't be believed yet (%(why)s); it is not used and fetched again."),
    N_("what came back can't be believed (%(why)s). Tell who runs the agent."),
    N_("No computing centre brought it to an end within %(days)s days."),
    N_("Its job is over, but what it brought is not to be had any more."),
    N_("It is still at work, so it is not tried again."),
    # why an input can't be sent
    N_("it has no files"),
    N_("%(file)s is not in a published folder"),
    N_("%(file)s is not in the archive any more"),
    N_("%(file)s is not a plain file of the archive"),
    N_("%(file)s lies in a folder that this program did not publish"),
    N_("%(file)s is empty"),
    N_("the file of %(name)s is not in LinkAhead any more"),
    # why a parameter does not fit
    N_("must be at least %(limit)s"),
    N_("must be at most %(limit)s"),
    N_("must be more than %(limit)s"),
    N_("must be less than %(limit)s"),
    N_("must be a multiple of %(limit)s"),
    N_("must be a whole number"),
    N_("must be a number"),
    N_("must be finite"),
    N_("must be text"),
    N_("must be true or false"),
    N_("must be a list"),
    N_("must be an object"),
    N_("not one of the values that it may have"),
    N_("has too many or too few items"),
    N_("an item occurs twice"),
    N_("is too long or too short"),
    N_("has a null character"),
    N_("does not have the form %(form)s"),
)
_GAP = re.compile(r"%\((\w+)\)s")


@cache
def _patterns() -> Sequence[tuple[re.Pattern[str], str]]:
    patterns = []
    for text in _KNOWN:
        parts = _GAP.split(text)
        # Every second part is the name of a gap.
        form = "".join(f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        patterns.append((re.compile(form, re.DOTALL), text))
    return patterns


def translate(said: str, _: Translate) -> str:
    """Give what a program said in the visitor's language, as far as its parts are texts that we know."""
    for pattern, text in _patterns():
        if match := pattern.fullmatch(said):
            return _(text) % {name: translate(part, _) for name, part in match.groupdict().items()}
    if said.endswith("."):
        return translate(said[:-1], _) + "."
    for between in ("; ", ": "):
        head, found, rest = said.partition(between)
        if found:
            return f"{translate(head, _)}{between}{translate(rest, _)}"
    return said
