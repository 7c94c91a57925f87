"""What is done with records that were found: choose a function, keep them as a group of images, take them along."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus

from babel.numbers import format_decimal
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from heartbrain_ingest.answers import QuestionError
from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.errors import DatabaseError, HeartbrainError
from heartbrain_ingest.portal.asking import retrieve_xml
from heartbrain_ingest.portal.datamodel import data_model
from heartbrain_ingest.portal.diary import note
from heartbrain_ingest.portal.found import found_ids, table
from heartbrain_ingest.portal.ids import read_id
from heartbrain_ingest.portal.pages import Translate, go, language_of, logged_in, render, settings_of, translator
from heartbrain_ingest.portal.questions import MOST_LETTERS, one_of, quote, read_question
from heartbrain_ingest.portal.rights import is_refusal
from heartbrain_ingest.portal.search import read_address

#: Ids that fit into an address.
MOST_TICKED = 200
#: Images of one group; each of them is written into the group's record.
MOST_IN_GROUP = 5_000
_MOST_NAME = 200
#: Letters that are sent at once.
_BLOCK = 1 << 15
#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class SelectionError(HeartbrainError):
    """What was chosen can't be used; the message says why, in the visitor's language."""


async def go_to_run(request: Request) -> Response:
    """POST /selection: choose a function for the ticked records."""
    _ = translator(request)
    try:
        ids = _ticked(await request.form(), _)
    except SelectionError as problem:
        return _refuse(request, problem.detail)
    if not ids:
        return _refuse(request, _("Tick at least one record first."))
    return go("/run", ids=",".join(map(str, ids)))


async def save_group(request: Request) -> Response:
    """POST /groups: keep the ticked images, or all that were found, as an ImageGroup."""
    return await run_in_threadpool(_save, request, await request.form())


def export_table(request: Request) -> Response:
    """GET /export.csv: all that a question finds, page by page as the browser takes it."""
    visitor = logged_in(request)
    model = data_model(visitor)
    asked = read_address(request, model)
    question = asked.question
    if not question.target or question.verb == "COUNT":
        _ = translator(request)
        return _refuse(request, _("Ask for records first."))
    if len(asked.text) > MOST_LETTERS:
        _ = translator(request)
        return _refuse(request, _("The question is too long."))
    try:
        lines = table(visitor, question, columns=asked.columns, unit_of=model.unit)
        # What LinkAhead does not understand is said before anything is sent.
        first = next(lines)
    except QuestionError as problem:
        return _refuse(request, problem.detail)
    note(request, "export table", query=asked.text)
    return StreamingResponse(
        _csv([first], lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="records.csv"'},
    )


def _save(request: Request, form: FormData) -> Response:
    _ = translator(request)
    visitor = logged_in(request)
    name = " ".join(str(form.get("name", "")).split())[:_MOST_NAME]
    try:
        if not name:
            raise SelectionError(_("Give the group a name."))
        ids = _chosen(request, form)
        if retrieve_xml(f"COUNT RECORD 'ImageGroup' WITH name = {quote(name)}", 0, 1)[0]:
            raise SelectionError(_("There is a group of this name already. Choose another name."))
        with database_errors("saving the group"):
            record = db.Record(name=name).add_parent("ImageGroup")
            record.add_property("Images", ids, datatype=db.LIST("MRImage"))
            record.insert()
    except (SelectionError, QuestionError) as problem:
        return _refuse(request, problem.detail)
    except DatabaseError as problem:
        if is_refusal(problem):
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                _("Your account may look, but not save a group. Ask %(who)s.")
                % {"who": settings_of(request).responsible},
            ) from None
        if not isinstance(problem.__cause__, db.TransactionError):
            raise
        return _refuse(request, _("LinkAhead refused:") + " " + problem.detail)
    visitor.cache.clear()
    note(request, "save group", name=name, images=len(ids))
    return go("/", query=f"FIND MRImage WHICH IS REFERENCED BY ImageGroup WITH name = {quote(name)}", saved=name)


def _chosen(request: Request, form: FormData) -> list[int]:
    """Give the images that a group is made of.

    Raises
    ------
    SelectionError
        When there are none, too many, or something else than images among them.
    """
    _ = translator(request)
    if form.get("which") == "all":
        text = str(form.get("query", ""))
        if len(text) > MOST_LETTERS:
            raise SelectionError(_("The question is too long."))
        question = read_question(text)
        if not question.target or question.verb != "FIND":
            raise SelectionError(_("Ask for images first."))
    else:
        ids = _ticked(form, _)
        if not ids:
            raise SelectionError(_("Tick at least one image first."))
        question = read_question(f"FIND {one_of(ids)}")
    total, found = found_ids(question, MOST_IN_GROUP)
    if total > MOST_IN_GROUP:
        most = format_decimal(MOST_IN_GROUP, locale=language_of(request))
        raise SelectionError(_("A group has at most %(most)s images. Ask for fewer.") % {"most": most})
    model = data_model(logged_in(request))
    if not found:
        raise SelectionError(_("There are no such images, or they are not yours to see."))
    if not all(model.is_a(kinds, "MRImage") for _id, kinds in found):
        raise SelectionError(_("Only images can be in a group. Ask for images alone."))
    return [one for one, _kinds in found]


def _ticked(form: FormData, _: Translate) -> list[int]:
    texts = [str(one) for one in form.getlist("ids")]
    if len(texts) > MOST_TICKED:
        raise SelectionError(_("These are too many records to name them one by one."))
    return [number for one in dict.fromkeys(texts) if (number := read_id(one)) is not None]


def _refuse(request: Request, text: str) -> Response:
    """Say what has to be changed; the browser's way back leads to what was filled in."""
    title = translator(request)("That did not work")
    return render(request, "problem.html", status=400, title=title, text=text, reference="")


def _csv(*parts: Iterable[Sequence[str | int | float]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for part in parts:
        for line in part:
            writer.writerow([_harmless(one) for one in line])
            if buffer.tell() > _BLOCK:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


def _harmless(value: str | float) -> str | int | float:
    """Keep a spreadsheet from taking a text for a formula, as OWASP advises: CSV injection."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


ROUTES = [
    Route("/selection", go_to_run, methods=["POST"]),
    Route("/groups", save_group, methods=["POST"]),
    Route("/export.csv", export_table, methods=["GET"]),
]
