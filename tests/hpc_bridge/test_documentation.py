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
    here = [
        *(project_root / "tests" / "hpc_bridge").glob("test_*.py"),
        *(project_root / "tests/services").glob("test_*.py"),
    ]
    names = "\n".join(path.name + "\n" + path.read_text(encoding="utf-8") for path in here)
    for mark in re.findall(r"`([^`]*(?:\.\.|::|test_)[^`]*)`", text):
        for part in re.split(r"\.\.|::|/", mark):
            assert part in names or part in {"tests", "hpc_bridge", "services"}, mark
