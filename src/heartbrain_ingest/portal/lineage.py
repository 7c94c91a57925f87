"""Where a record comes from and what was made of it, as a graph of LinkAhead's references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from heartbrain_ingest.portal.entity import Entity, Model, find, read
from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.portal.record_words import kind_words, traits

#: In each column; a batch over a whole study has more.
_MOST: Final = 8
_MOST_RESULTS: Final = 50

# Sizes of the drawing, in its own units.
BOX: Final = (200, 50)
GAP: Final = (44, 14)
#: Letters that a box has place for: of a name, and of the bolder words above it.
_NAME: Final = 24
_WORDS: Final = 20


class Stage(IntEnum):
    """How far from the scanner something is: the columns of the drawing, from left to right."""

    SESSION = 0
    ORIGINAL = 1
    INPUT = 2
    REQUEST = 3
    RESULT = 4


@dataclass(frozen=True, kw_only=True)
class Node:
    """A record or a file.

    Attributes
    ----------
    checksum
        Of a file, as LinkAhead knows it.
    """

    id: int
    stage: Stage
    words: str
    name: str
    address: str
    checksum: str = ""
    is_here: bool = False


@dataclass(frozen=True, kw_only=True)
class Box:
    """A node's place in the drawing."""

    node: Node
    x: int
    y: int

    @property
    def name(self) -> str:
        """The end of the name, which tells more than its beginning."""
        name = self.node.name
        return name if len(name) <= _NAME else "…" + name[-_NAME + 1 :]

    @property
    def words(self) -> str:
        """What it is, shortened."""
        words = self.node.words
        return words if len(words) <= _WORDS else words[: _WORDS - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Boxes and the lines between them."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    #: From the right edge of one to the left edge of another: x, y, x, y.
    lines: tuple[tuple[int, int, int, int], ...]


@dataclass(kw_only=True)
class Lineage:
    """What came of what.

    Attributes
    ----------
    left_out
        Nodes that a column had no place for.
    """

    nodes: dict[int, Node] = field(default_factory=dict)
    edges: set[tuple[int, int]] = field(default_factory=set)
    left_out: int = 0

    def sources(self, of: int) -> list[Node]:
        """Give what something was made of."""
        return self._sorted(start for start, end in self.edges if end == of)

    def products(self, of: int) -> list[Node]:
        """Give what was made of something."""
        return self._sorted(end for start, end in self.edges if start == of)

    def _sorted(self, ids: Iterable[int]) -> list[Node]:
        return sorted((self.nodes[one] for one in ids), key=lambda one: (one.stage, one.name, one.id))

    def draw(self) -> Drawing:
        """Lay the nodes out in columns."""
        columns: dict[Stage, list[Node]] = defaultdict(list)
        for node in sorted(self.nodes.values(), key=lambda one: (not one.is_here, one.name, one.id)):
            columns[node.stage].append(node)
        tallest = max((len(column) for column in columns.values()), default=0)
        height = tallest * (BOX[1] + GAP[1]) + GAP[1]
        boxes: dict[int, Box] = {}
        for place, stage in enumerate(sorted(columns)):
            column = columns[stage]
            top = (height - len(column) * (BOX[1] + GAP[1]) + GAP[1]) // 2
            for row, node in enumerate(column):
                x = 2 + place * (BOX[0] + GAP[0])
                boxes[node.id] = Box(node=node, x=x, y=top + row * (BOX[1] + GAP[1]))
        lines = tuple(
            (boxes[one].x + BOX[0], boxes[one].y + BOX[1] // 2, boxes[other].x, boxes[other].y + BOX[1] // 2)
            for one, other in sorted(self.edges)
        )
        width = len(columns) * (BOX[0] + GAP[0]) - GAP[0] + 4
        return Drawing(width=width, height=height, boxes=tuple(boxes.values()), lines=lines)


def trace_record(entity: Entity, model: Model, _: Translate) -> Lineage | None:
    """Walk from a record to what it was made of, down to the DICOM files, and to what was made of it."""
    if model.is_below(entity.kind, "AnalysisResult"):
        return _Walk(entity, model, _).of_result()
    if model.is_below(entity.kind, "Acquisition"):
        return _Walk(entity, model, _).of_acquisition()
    if entity.kind == "LaboratoryMeasurement" or model.is_below(entity.kind, "Sample"):
        return _Walk(entity, model, _).of_laboratory()
    return None


class _Walk:
    def __init__(self, here: Entity, model: Model, _: Translate) -> None:
        self._here = here
        self._model = model
        self._ = _
        self._lineage = Lineage()
        self._counts: dict[Stage, int] = defaultdict(int)

    def of_result(self) -> Lineage:
        result = self._here
        inputs = read(result.ids("Inputs"))
        above = read(
            one
            for record in inputs.values()
            for one in (*record.ids("DicomArchive"), *record.ids("Session"), *result.ids("Request"))
        )
        self._add(result, Stage.RESULT)
        request = above.get(result.reference("Request") or 0)
        if request is not None:
            self._add(request, Stage.REQUEST)
            self._join(request.id, result.id)
        for record in inputs.values():
            if self._add(record, Stage.INPUT):
                self._join(record.id, request.id if request is not None else result.id)
                self._origins(record, above)
        return self._lineage

    def of_acquisition(self) -> Lineage:
        record = self._here
        results = find(f"FIND AnalysisResult WITH Inputs={record.id}", most=_MOST_RESULTS).entities
        above = read(
            [
                *(*record.ids("DicomArchive"), *record.ids("Session"), *record.ids("RecordedDuring")),
                *(one for result in results for one in result.ids("Request")),
            ]
        )
        self._add(record, Stage.INPUT)
        self._origins(record, above)
        for result in sorted(results, key=lambda one: -one.id):
            request = above.get(result.reference("Request") or 0)
            if not self._add(result, Stage.RESULT):
                continue
            if request is not None and self._add(request, Stage.REQUEST):
                self._join(record.id, request.id)
                self._join(request.id, result.id)
            else:
                self._join(record.id, result.id)
        return self._lineage

    def of_laboratory(self) -> Lineage:
        record = self._here
        above = read(one for name in ("Sample", "Session", "Subject", "TableFile") for one in record.ids(name))
        self._add(record, Stage.RESULT)
        sample = above.get(record.reference("Sample") or 0)
        table = above.get(record.reference("TableFile") or 0)
        whose = above.get(record.reference("Session") or record.reference("Subject") or 0)
        last = record.id
        if table is not None and self._add(table, Stage.INPUT):
            self._join(table.id, record.id)
        if sample is not None and self._add(sample, Stage.INPUT):
            self._join(sample.id, record.id)
            last = sample.id
        if whose is not None and self._add(whose, Stage.SESSION):
            self._join(whose.id, last)
        return self._lineage

    def _origins(self, record: Entity, known: dict[int, Entity]) -> None:
        session = known.get(record.reference("Session") or 0)
        dicom = known.get(record.reference("DicomArchive") or 0)
        if dicom is not None and self._add(dicom, Stage.ORIGINAL):
            self._join(dicom.id, record.id)
        if session is not None and self._add(session, Stage.SESSION):
            self._join(session.id, dicom.id if dicom is not None and dicom.id in self._lineage.nodes else record.id)

    def _add(self, entity: Entity, stage: Stage) -> bool:
        """Take an entity in; tell whether there was place for it."""
        if entity.id in self._lineage.nodes:
            return True
        if self._counts[stage] >= _MOST:
            self._lineage.left_out += 1
            return False
        self._counts[stage] += 1
        is_file = entity.role == "File"
        words = (
            self._("DICOM files") if entity.file_name.endswith(".zip") else kind_words(entity.kind, self._model, self._)
        )
        more = traits(entity, self._) if self._model.is_below(entity.kind, "Acquisition") else ""
        self._lineage.nodes[entity.id] = Node(
            id=entity.id,
            stage=stage,
            words=words,
            name=entity.file_name if is_file else more or entity.name or entity.text("Analyte") or f"{entity.id}",
            address=_address(entity),
            checksum=entity.checksum,
            is_here=entity.id == self._here.id,
        )
        return True

    def _join(self, start: int, end: int) -> None:
        self._lineage.edges.add((start, end))


def _address(entity: Entity) -> str:
    return f"/file/{entity.id}" if entity.role == "File" else f"/record/{entity.id}"
