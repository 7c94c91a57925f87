"""The shipped rules, small tables, and a key file of two subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import pytest

from heartbrain_ingest.lab import LabDelivery, LabRules, SubjectRef, load_rules, read_table

KEY_FILE = {
    "HB-1": SubjectRef(label="sub-AAAAAAA1", days=-100, sex="M"),
    "HB-2": SubjectRef(label="sub-BBBBBBB2", days=7),
    "4711": SubjectRef(label="sub-CCCCCCC3", days=0, sex="F"),
}


@pytest.fixture(scope="session")
def rules(project_root: Path) -> LabRules:
    return load_rules(project_root / "crawler_config" / "lab.yml")


@pytest.fixture
def read_csv(tmp_path: Path, rules: LabRules) -> Callable[..., LabDelivery]:
    def read(*lines: str, name: str = "table.csv", encoding: str = "utf-8") -> LabDelivery:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return read_table(path, rules, KEY_FILE.get)

    return read


@pytest.fixture
def read_xlsx(tmp_path: Path, rules: LabRules) -> Callable[..., LabDelivery]:
    def read(**sheets: Sequence[Sequence[object]]) -> LabDelivery:
        book = openpyxl.Workbook()
        book.remove(book.worksheets[0])
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(list(row))
        path = tmp_path / "table.xlsx"
        book.save(path)
        return read_table(path, rules, KEY_FILE.get)

    return read
