"""What the documents say is what the programs do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpc_bridge import cli
from hpc_bridge.reference import renewed


def test_the_schemas_in_the_protocol_are_those_of_the_code(project_root: Path) -> None:
    text = (project_root / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert renewed(text) == text, "run: .venv/bin/python -m hpc_bridge.reference docs/protocol.md"


@pytest.mark.parametrize("command", sorted(cli._COMMANDS))
def test_the_help_of_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert f"Example: hpc-bridge {command}" in capsys.readouterr().out


def test_every_test_that_the_security_page_names_is_there(project_root: Path) -> None:
    text = (project_root / "docs" / "security.md").read_text(encoding="utf-8")
    here = {
        path.relative_to(project_root).as_posix(): re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
        for folder in ("hpc_bridge", "services", "postprocessing", "benchmarks", "portal")
        for path in (project_root / "tests" / folder).glob("test_*.py")
    }
    marks = re.findall(r"`([^`]*(?:\.\.|::|test_)[^`]*)`", text)
    assert len(marks) > 50
    for mark in marks:
        if mark.endswith(".py"):
            assert mark in here, mark
            continue
        file, _, name = mark.rpartition("::")
        pattern = ".*".join(re.escape(part) for part in name.split(".."))  # two dots leave something out
        found = [one for path, names in here.items() if path.endswith(file) for one in names]
        assert len([one for one in found if re.fullmatch(pattern, one)]) == 1, mark


def test_each_plus_of_the_table_is_backed_by_tests_that_are_there(project_root: Path) -> None:
    text = (project_root / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.partition("## The table of the paper")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    head, ours = rows[0], next(row for row in rows if "this bridge" in row[0])
    assert [cell.strip("*") for cell in ours[1:]] == ["+"] * 5
    backed = {row[0]: re.findall(r"`([^`]+)::(\w+)`", row[-1]) for row in rows if "::" in row[-1]}
    assert list(backed) == head[1:]
    for tests in backed.values():
        assert len(tests) >= 2
        for file, name in tests:
            assert f"\ndef {name}(" in (project_root / file).read_text(encoding="utf-8"), name
