"""What a laboratory delivery is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, time

#: `Measurement.reference_source` of a range that no laboratory has confirmed.
UNREVIEWED = "lab.yml, not reviewed"


class LabTableError(Exception):
    """A file can't be read as a laboratory table; `code` is an entry of the issue catalogue."""

    def __init__(self, code: str, detail: str) -> None:
        """Keep the code; the detail names no path and no content, so that it may be logged."""
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class SubjectRef:
    """The pseudonym of a subject, as the key file gives it."""

    #: `sub-K7Q2ABCD`.
    label: str
    #: Days by which every date of this subject is shifted.
    days: int
    #: F, M or O where known; chooses the reference range when the table has no column for it.
    sex: str | None = None
    #: Chooses the reference range. Identifying: it goes no further.
    birth_date: date | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value of one analyte in one sample. Holds nothing that identifies."""

    #: Pseudonym of the subject.
    subject: str
    #: Subject, shifted day, time and material: the same sample has the same label in every delivery.
    sample: str
    #: blood, serum, plasma, urine ...
    material: str
    #: Day of sampling, shifted.
    day: date
    #: Time of sampling, where the table has one.
    time: time | None
    #: Identifier of the analyte in lab.yml.
    analyte: str
    #: LOINC code.
    loinc: str
    #: Value in `unit`; None where only a mark was sent.
    value: float | None
    #: Standard unit of the analyte, UCUM.
    unit: str
    #: `<`, `<=`, `>`, `>=` before a limit, or a mark such as `not-detected`; empty for a plain value.
    qualifier: str = ""
    #: Reference range in `unit`.
    low: float | None = None
    high: float | None = None
    #: Where the range comes from: `laboratory` (sent with the value), `lab.yml`, or `lab.yml, not reviewed`.
    reference_source: str = ""
    #: L, N, H: the value against the range; empty where that can't be told.
    flag: str = ""
    #: Value and unit as the laboratory wrote them.
    original_value: str = ""
    original_unit: str = ""
    #: Known remarks, as codes of lab.yml; free text is dropped because it may name somebody.
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, order=True)
class Refusal:
    """A row, or one cell of a wide table, that was not taken over. Holds places and a code, never content."""

    #: Sheet, counted from 1.
    sheet: int
    #: Row as a spreadsheet counts it, from 1.
    row: int
    #: Column, from 1; 0 where the whole row is meant.
    column: int = 0
    #: Entry of the issue catalogue.
    code: str


@dataclass(frozen=True, kw_only=True)
class LabDelivery:
    """All that one table gave, in a fixed order."""

    measurements: tuple[Measurement, ...]
    refused: tuple[Refusal, ...]
