from __future__ import annotations

import ast
import re
from pathlib import Path

from heartbrain_ingest.issues import ISSUES, Severity


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    for code, issue in ISSUES.items():
        assert re.fullmatch(r"[A-Z][A-Z_]+[A-Z]", code)
        assert issue.meaning.endswith(".")
        assert issue.action.endswith(".")
        if issue.severity is Severity.QUARANTINE:
            assert issue.action != "Nothing to do."


def test_every_code_that_the_program_gives_is_in_the_catalogue_and_every_code_there_is_given(
    project_root: Path,
) -> None:
    used: set[str] = set()
    texts: set[str] = set()
    for path in sorted((project_root / "src" / "heartbrain_ingest").rglob("*.py")):
        if path.name == "issues.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                used |= {str(node.value.value)} if node.value.value else set()
    rules = "".join(path.read_text(encoding="utf-8") for path in (project_root / "crawler_config").glob("*.yml"))
    assert used <= set(ISSUES)
    assert {code for code in ISSUES if code not in texts and code not in rules} == set()
