"""What a visitor wants something to be run on: records by number, by a question, or by a group's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from linkahead.utils.escape import escape_squoted_text
from starlette.exceptions import HTTPException

from heartbrain_ingest.answers import QuestionError
from heartbrain_ingest.portal import asking
from heartbrain_ingest.portal.ids import read_id
from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.portal.questions import MOST_LETTERS

#: So many records can be run on at once; more are a matter for a rule or the command line.
MOST = 1_000
#: Letters of a list of them, with a blank behind each comma.
_MOST_IDS = 12 * MOST
_MOST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Records, and the words that name them in an address."""

    ids: tuple[int, ...]
    words: Mapping[str, str]
    #: How many were meant; more than `ids` where there are too many.
    total: int

    @property
    def is_too_large(self) -> bool:
        """Whether not all of them can be run on at once."""
        return self.total > len(self.ids)


def read_selection(words: Mapping[str, str], _: Translate) -> Selection:
    """Read a selection.

    Parameters
    ----------
    words
        Of an address or a form: `ids`, `query` or `group`.

    Raises
    ------
    HTTPException
        When nothing can be understood as one. What is too long is refused: cut off, it would select other records.
    """
    if given := words.get("ids", ""):
        if len(given) > _MOST_IDS:
            raise HTTPException(HTTPStatus.BAD_REQUEST, _("These are too many records to name them one by one."))
        parts = [read_id(part.strip()) for part in given.split(",") if part.strip()]
        ids = tuple(dict.fromkeys(one for one in parts if one is not None))
        if None in parts:
            raise HTTPException(HTTPStatus.BAD_REQUEST, _("This is no list of record numbers."))
        return Selection(ids=ids[:MOST], words={"ids": ",".join(map(str, ids[:MOST]))}, total=len(ids))
    if question := words.get("query", "").strip():
        if len(question) > MOST_LETTERS:
            raise HTTPException(HTTPStatus.BAD_REQUEST, _("The question is too long."))
        return _asked(question, {"query": question}, _)
    if group := words.get("group", ""):
        if len(group) > _MOST_NAME:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        name = escape_squoted_text(group)
        question = f"FIND RECORD 'MRImage' WHICH IS REFERENCED BY 'ImageGroup' WITH name='{name}'"
        return _asked(question, {"group": group}, _)
    raise HTTPException(HTTPStatus.BAD_REQUEST, _("Choose images first: find them, then run something on them."))


def _asked(question: str, words: Mapping[str, str], _: Translate) -> Selection:
    if question.split(None, 1)[0].upper() != "FIND":
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("Only what a question with FIND gives can be run on."))
    try:
        total, root = asking.retrieve_xml(question, 0, MOST)
    except QuestionError as problem:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, problem.detail) from None
    ids = tuple(int(one.get("id")) for one in root.iterfind("Record") if one.get("id"))
    return Selection(ids=ids, words=words, total=max(total, len(ids)))
