"""Read the cells of a table file: XLSX by openpyxl, CSV and TSV by the standard library."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from heartbrain_ingest.lab.measurement import LabTableError

Cell = str | float | bool | datetime | date | time | None

ZIP_MAGIC = b"PK\x03\x04"
OLE_MAGIC = b"\xd0\xcf\x11\xe0"
WORKBOOK = "xl/workbook.xml"
DELIMITERS = ";\t,|"
TEXT_EXTENSIONS = {".csv", ".tsv", ".txt"}
SNIFF_BYTES = 4096
LEAST_COLUMNS = 3
#: What openpyxl lets through for a damaged or encrypted workbook; the XML parsers' errors are SyntaxErrors.
DAMAGE = (SyntaxError, RuntimeError, EOFError, KeyError, IndexError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One sheet, or the whole of a text table."""

    #: From 1.
    number: int
    #: Its name; empty for a text table. It may hold anything, so it is compared and never kept.
    name: str
    #: Rows of cells, as long as the file has them.
    rows: tuple[tuple[Cell, ...], ...]


def is_lab_table(path: Path) -> bool:
    """Tell whether a file can be a laboratory table: an XLSX workbook, or text whose first line is a header.

    A header is a line of at least three columns, none of which is a number.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
        if head.startswith(ZIP_MAGIC):
            return path.suffix.lower() in {".xlsx", ".xlsm"} and _is_workbook(path)
    except OSError:
        return False
    if path.suffix.lower() not in TEXT_EXTENSIONS or b"\x00" in head:
        return False
    line = next((line for line in _decode(head).splitlines() if line.strip()), "")
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=_delimiter(line)), [])]
    return sum(map(bool, cells)) >= LEAST_COLUMNS and not any(_is_number(cell) for cell in cells)


def read_sheets(path: Path) -> list[Sheet]:
    """Read all sheets.

    Raises
    ------
    LabTableError
        LAB_UNREADABLE: the file is damaged, encrypted, or in a format that can't be read.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(ZIP_MAGIC))
        if magic == ZIP_MAGIC:
            return list(_read_workbook(path))
        if magic == OLE_MAGIC:
            raise LabTableError("LAB_UNREADABLE", "an old or encrypted workbook; save it as .xlsx without a password")
        text = _decode(path.read_bytes())
    except OSError:
        raise LabTableError("LAB_UNREADABLE", "the file can't be opened") from None
    delimiter = _delimiter(text)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        # A quotation mark that is never closed must not swallow the rows behind it: then it is a sign like any other.
        try:
            lines = io.StringIO("\n".join(text.splitlines()))
            rows = list(csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE))
        except csv.Error:
            raise LabTableError("LAB_UNREADABLE", "the text is no table") from None
    return [Sheet(number=1, name="", rows=tuple(tuple(row) for row in rows))]


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return WORKBOOK in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _read_workbook(path: Path) -> Iterator[Sheet]:
    import openpyxl  # noqa: PLC0415 - a third of a second that only a workbook should cost
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            # Styles, validations and print settings that openpyxl does not know are no part of the data.
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                for number, sheet in enumerate(workbook.worksheets, start=1):
                    rows = tuple(tuple(map(_cell, row)) for row in sheet.iter_rows(values_only=True))
                    yield Sheet(number=number, name=sheet.title, rows=rows)
            finally:
                workbook.close()
    except (InvalidFileException, zipfile.BadZipFile, zlib.error, *DAMAGE):
        raise LabTableError("LAB_UNREADABLE", "the workbook is damaged") from None


def _cell(value: object) -> Cell:
    return value if isinstance(value, str | float | int | datetime | date | time | None) else str(value)


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _delimiter(text: str) -> str:
    """Take the sign that the first lines hold most; on a tie the earlier one, so that decimal commas don't win."""
    lines = text.splitlines()[:20]
    return max(DELIMITERS, key=lambda sign: sum(line.count(sign) for line in lines))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
