"""The first page: ask for records, and see them as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from babel.numbers import format_decimal
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest.answers import QuestionError
from heartbrain_ingest.portal.datamodel import DataModel, data_model
from heartbrain_ingest.portal.diary import note_view
from heartbrain_ingest.portal.found import (
    BY_ID,
    FIRST_ORDER,
    MOST_SORTED,
    Page,
    Sorting,
    TooManyToSortError,
    count,
    find_page,
)
from heartbrain_ingest.portal.kinds import N_, choices, plain_name
from heartbrain_ingest.portal.pages import Translate, language_of, logged_in, render, settings_of, translator
from heartbrain_ingest.portal.questions import MOST_LETTERS, Question, place_of_error, read_question
from heartbrain_ingest.portal.rights import may_change
from heartbrain_ingest.portal.rows import MOST_COLUMNS, Column
from heartbrain_ingest.portal.search_form import Form, fields_of, read_form
from heartbrain_ingest.portal.visitors import Visitor

SIZES = (25, 50, 100, 200)
_HEADS = {
    "Subject": N_("Subject"),
    "Date": N_("Date"),
    "Age": N_("Age"),
    "Sex": N_("Sex"),
    "Function": N_("Function"),
    "Status": N_("Status"),
}
_MOST_PAGE = 10_000_000
#: What an address may hold; all else in it is left out of the addresses that a page leads to.
_QUESTION = ("query", "kind", "subject", "since", "until", "property", "low", "high", "word", "text")
#: From docs/howto-researcher.md.
EXAMPLES = (
    (N_("all T1-weighted images"), "FIND T1WeightedImage"),
    (N_("how many images of any kind"), "COUNT MRImage"),
    (N_("images with a repetition time above two seconds"), "FIND MRImage WITH RepetitionTime > 2 s"),
    (N_("diffusion series with a b-value of 1000"), "FIND DiffusionWeightedImage WITH BValues = 1000"),
    (
        N_("T1 images of subjects over 30 with contrast agent"),
        "FIND T1WeightedImage WITH ce AND Session.Age > 30",
    ),
    (
        N_("visits whose ECG covers more than 95 % of the IVIM scan"),
        (
            "FIND Session WHICH IS REFERENCED BY ECGRecording "
            "WITH (OverlapFraction > 0.95 AND RecordedDuring WITH acq = ivim)"
        ),
    ),
    (
        N_("images of subjects whose creatinine is above the reference range"),
        (
            "FIND MRImage WITH Subject WHICH IS REFERENCED BY LaboratoryMeasurement WITH "
            "(Analyte = creatinine AND ReferenceFlag = H)"
        ),
    ),
    (N_("values above the reference range"), "FIND LaboratoryMeasurement WITH ReferenceFlag = H"),
    (N_("recordings with a bad signal"), "FIND PhysiologicalRecording WITH SignalQuality < 0.5"),
    (
        N_("diffusion series without a result of a function"),
        "FIND DiffusionWeightedImage WHICH IS NOT REFERENCED BY AnalysisResult WITH Function = ivim",
    ),
    (
        N_("perfusion fractions above 0.1"),
        "SELECT Subject, mean_f, mean_D, mean_Dstar FROM IVIMAnalysis WITH mean_f > 0.1",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an address asks for: the question, and how its answer is shown."""

    #: The parameters that make the question.
    wanted: tuple[tuple[str, str], ...]
    text: str
    form: Form
    is_form: bool
    columns: tuple[str, ...] = ()
    sorting: Sorting = FIRST_ORDER
    page: int = 1
    size: int = 0

    @property
    def question(self) -> Question:
        """The question, taken apart."""
        return read_question(self.text)

    def address(self, path: str = "/", **changes: str | int | tuple[str, ...]) -> str:
        """Write the address of this question with something changed: `columns`, `sort`, `page` or `size`."""
        shown: dict[str, Any] = {"columns": self.columns, "sort": str(self.sorting), "page": self.page}
        shown.update({"size": self.size, **changes})
        pairs = list(self.wanted)
        pairs += [("columns", name) for name in shown["columns"]]
        defaults = {"sort": BY_ID, "page": 1, "size": 0}
        pairs += [(name, str(shown[name])) for name, usual in defaults.items() if shown[name] != usual]
        return f"{path}?{urlencode(pairs)}"

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The question as hidden fields of a form."""
        return self.wanted


def read_address(request: Request, model: DataModel) -> Asked:
    """Read what an address asks for."""
    given = request.query_params
    form = read_form(given, model, translator(request))
    text = given.get("query", "").strip()[: MOST_LETTERS + 1]
    is_form = not text and "kind" in given
    wanted = [(key, value) for key, value in given.multi_items() if key in _QUESTION and (value or key in _LINES)]
    columns = tuple(dict.fromkeys(name.strip() for name in given.getlist("columns") if name.strip()))[:MOST_COLUMNS]
    size = given.get("size", "")
    return Asked(
        wanted=tuple(wanted) if not text else (("query", text),),
        text=form.query if is_form else text,
        form=form,
        is_form=is_form,
        columns=columns,
        sorting=Sorting.read(given.get("sort", "")[:200]),
        page=_whole(given.get("page", ""), 1),
        size=int(size) if size in map(str, SIZES) else 0,
    )


#: Fields that belong together line by line: an empty one keeps its place.
_LINES = frozenset({"property", "low", "high", "word", "text"})


def show_search(request: Request) -> Response:
    """GET /."""
    visitor = logged_in(request)
    _ = translator(request)
    model = data_model(visitor)
    asked = read_address(request, model)
    page: Page | None = None
    number: int | None = None
    problem, place, refused = "", None, ""
    if len(asked.text) > MOST_LETTERS:
        problem = _("The question is too long.")
    elif asked.text:
        try:
            if asked.question.verb == "COUNT":
                number = count(visitor, asked.question)
            else:
                try:
                    page = _page(request, visitor, asked)
                except TooManyToSortError:
                    asked = replace(asked, sorting=FIRST_ORDER)
                    page = _page(request, visitor, asked)
                    refused = _(
                        "These are too many records to sort them by this column: at most %(most)s. "
                        "They stand in the order of their numbers. Ask for fewer to sort them."
                    ) % {"most": format_decimal(MOST_SORTED, locale=language_of(request))}
        except QuestionError as error:
            problem, place = error.detail, place_of_error(error.detail, asked.text)
        if not problem:
            is_part = asked.page != 1 or bool(request.headers.get("hx-request"))
            note_view(request, "ask", is_part=is_part, query=asked.text)
    is_images = page is not None and bool(page.rows) and all(model.is_a(row.kinds, "MRImage") for row in page.rows)
    return render(
        request,
        "search.html",
        status=200 if not problem else 422,
        asked=asked,
        question=asked.question,
        found=page,
        number=number,
        problem=problem,
        place=place,
        refused=refused,
        size=_size(request, asked),
        sizes=SIZES,
        **_form_facts(asked.form, model, _),
        examples=[(_(text), query, f"/?query={quote(query, safe='')}") for text, query in EXAMPLES],
        kind_name=lambda names: plain_name(names[0], model, _) if names else "",
        # Functions work on images and recordings.
        is_usable=page is not None and any(model.is_a(row.kinds, "Acquisition") for row in page.rows),
        may_group=is_images and may_change(visitor),
        described=lambda name: model.properties[name].description if name in model.properties else "",
        head=lambda column: _head(column, _),
        saved=request.query_params.get("saved", "")[:200],
        most_columns=MOST_COLUMNS,
    )


def show_form(request: Request) -> Response:
    """GET /form: the form's lines and its query, while it is being filled in."""
    _ = translator(request)
    model = data_model(logged_in(request))
    form = read_form(request.query_params, model, _)
    return render(
        request,
        "search_form.html",
        **_form_facts(form, model, _),
    )


def _head(column: Column, _: Translate) -> str:
    """Give the head of a column: a property's own name, which is the one to ask for, but for what everybody knows."""
    name = column.name.removeprefix("Session.")
    if name in _HEADS:
        return _(_HEADS[name])
    shown = name.replace(".", " \N{RIGHTWARDS ARROW} ")
    return f"{shown} ({column.unit})" if column.unit else shown


def _form_facts(form: Form, model: DataModel, _: Translate) -> dict[str, Any]:
    # The data model is the visitor's own copy, and so is what is made of it.
    groups = model.derived(("kinds", _(N_("Images"))), lambda: choices(model, _))
    return {
        "form": form,
        "kinds": groups,
        "kind_names": {one.name for _group, members in groups for one in members},
        "kind": model.kinds.get(form.kind),
        "fields": model.derived(("fields", form.kind), lambda: fields_of(model, form.kind)),
    }


def _page(request: Request, visitor: Visitor, asked: Asked) -> Page:
    size = _size(request, asked)
    return find_page(
        visitor,
        asked.question,
        columns=asked.columns,
        sorting=asked.sorting,
        start=(asked.page - 1) * size,
        size=size,
    )


def _size(request: Request, asked: Asked) -> int:
    return asked.size or settings_of(request).portal.page_size


def _whole(text: str, usual: int) -> int:
    return min(max(int(text), 1), _MOST_PAGE) if text.isdecimal() and len(text) < 10 else usual  # noqa: PLR2004


ROUTES = [
    Route("/", show_search, methods=["GET"]),
    Route("/form", show_form, methods=["GET"]),
]
