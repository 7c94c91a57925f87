"""The page of one record: what it is, its picture, its numbers, where it comes from, its files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest.portal import record_words
from heartbrain_ingest.portal.comparison import Comparison, compare_result, other_values
from heartbrain_ingest.portal.diary import note_view
from heartbrain_ingest.portal.entity import Entity, Model, Number, read, read_model, read_one
from heartbrain_ingest.portal.files import ROUTES as FILES
from heartbrain_ingest.portal.ids import id_in_path
from heartbrain_ingest.portal.laboratory import Course, follow
from heartbrain_ingest.portal.lineage import Lineage, trace_record
from heartbrain_ingest.portal.pages import Translate, logged_in, render, settings_of, translator
from heartbrain_ingest.portal.previews import preview
from heartbrain_ingest.portal.record_parts import (
    GivenFile,
    is_day,
    list_files,
    list_members,
    list_referring,
    referred,
    sort_fields,
)
from heartbrain_ingest.portal.rights import may_change
from heartbrain_ingest.portal.traces import Trace, draw_recording
from heartbrain_ingest.portal.viewing import Viewer, roles_of, view_image, view_result

_PICTURES = ("PlanesPicture", "MeanPicture", "TSNRPicture", "SpectrumPicture")
PHYSIO_RULES = "physio.yml"


@dataclass(frozen=True, kw_only=True)
class Words:
    """What templates call to name things."""

    model: Model
    translate: Translate

    def heading(self, entity: Entity, known: Mapping[int, Entity], material: str = "") -> str:
        """Give the heading of an entity's page: of a result of no kind of its own, what its function is called."""
        function = known.get(entity.reference("Function") or 0)
        if entity.kind == "AnalysisResult" and function is not None and function.text("FunctionTitle"):
            return self.translate(function.text("FunctionTitle"))
        return self.title(entity, material)

    def title(self, entity: Entity, material: str = "") -> str:
        """Give what an entity is called."""
        return record_words.title(entity, self.model, self.translate, material=material)

    def kind(self, entity: Entity) -> str:
        """Give what an entity is."""
        return record_words.kind_words(entity.kind, self.model, self.translate)

    def analyte(self, entity: Entity) -> str:
        """Give what was measured."""
        return record_words.analyte_words(entity.text("Analyte"), self.translate)

    def material(self, text: str) -> str:
        """Give what the material of a sample is called."""
        return record_words.material_words(text, self.translate)

    def number(self, number: Number) -> str:
        """Give what a number of a result is called."""
        return record_words.number_words(number.name, number.description, self.translate)

    def day(self, text: str) -> str:
        """Write a day, without the time that may follow."""
        return text[:10] if re.match(r"\d{4}-\d\d-\d\d", text) else text


def show_record(request: Request) -> Response:
    """GET /record/{id}; `?at=` seconds moves through a recording."""
    _ = translator(request)
    record = read_one(id_in_path(request))
    if record is None or record.role not in {"Record", "File"}:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    is_part = request.headers.get("hx-target") == "recording"
    note_view(request, "look", is_part=is_part, id=record.id)
    settings = settings_of(request)
    visitor = logged_in(request)
    model = read_model(visitor)
    archive = settings.folders.archive
    is_result = model.is_below(record.kind, "AnalysisResult")
    is_recording = model.is_below(record.kind, "PhysiologicalRecording")

    viewer: Viewer | None = view_image(record, archive, model, _)
    comparisons: tuple[Comparison, ...] = ()
    if is_result:
        viewer = view_result(record, archive, model, _)
        comparisons = compare_result(record, model, visitor)
    trace: Trace | None = None
    if is_recording:
        rules = settings.folders.crawler_config / PHYSIO_RULES
        trace = draw_recording(record, archive, rules, at=_seconds(request.query_params.get("at", "")))
        if is_part:
            return render(request, "record_recording.html", record=record, trace=trace)
    course: Course | None = follow(record) if record.kind == "LaboratoryMeasurement" else None
    known = read([*referred([record], files=False), *referred([record], files=True)])
    groups, rest = sort_fields(record, known, _)
    files = list_files(record, known, roles_of(record, known, archive) if is_result else {}, _)
    members = list_members(record, model, _)
    others = list_referring(record, _) if not members and not _is_leaf(record, model) else None
    lineage: Lineage | None = trace_record(record, model, _)
    return render(
        request,
        "record.html",
        record=record,
        words=Words(model=model, translate=_),
        material=_material(record, known),
        known=known,
        is_result=is_result,
        is_recording=is_recording,
        can_run=model.is_below(record.kind, "Acquisition") and may_change(visitor),
        viewer=viewer,
        comparisons=comparisons,
        preview=preview(files, known, archive) if is_result and not comparisons else None,
        values=other_values(record),
        trace=trace,
        course=course,
        pictures=_pictures(record, files, is_result=is_result),
        groups=groups,
        rest=rest,
        files=files,
        members=members,
        others=others,
        lineage=lineage,
        is_day=is_day,
    )


def _is_leaf(record: Entity, model: Model) -> bool:
    """Tell whether a page shows by other means what refers to its record."""
    return any(model.is_below(record.kind, base) for base in ("Acquisition", "AnalysisResult", "LaboratoryMeasurement"))


def _pictures(record: Entity, files: tuple[GivenFile, ...], *, is_result: bool) -> tuple[GivenFile, ...]:
    """Give the pictures that stand in the page: of the quality of an image, of a result."""
    wanted = ("OutputFiles",) if is_result else _PICTURES
    return tuple(one for one in files if one.is_picture and one.what in wanted) if record.role == "Record" else ()


def _material(record: Entity, known: Mapping[int, Entity]) -> str:
    sample = known.get(record.reference("Sample") or 0)
    return sample.text("Material") if sample is not None and record.kind == "LaboratoryMeasurement" else ""


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < 1e7 else None  # noqa: PLR2004 - months


ROUTES = [Route("/record/{id}", show_record, methods=["GET"]), *FILES]
