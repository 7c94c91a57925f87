"""What the documents say is what the program does."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import click
import pytest

from heartbrain_ingest.cli import main
from heartbrain_ingest.reference import PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_reference_pages_are_what_the_code_gives(project_root: Path, name: str) -> None:
    assert (project_root / "docs" / name).read_text(encoding="utf-8") == PAGES[name](), (
        "run: .venv/bin/python -m heartbrain_ingest.reference docs/"
    )


def _commands(group: click.Group, prefix: str = "heartbrain") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group) and command.invoke_without_command:
            found.append((f"{prefix} {name}", command))
        if isinstance(command, click.Group):
            found += _commands(command, f"{prefix} {name}")
        else:
            found.append((f"{prefix} {name}", command))
    return found


def test_the_readme_names_every_command(project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    assert [name for name, _ in _commands(main) if name not in text] == []


def test_the_readme_names_no_command_that_is_not_there(project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    known = {name for name, _ in _commands(main)}
    named = set(
        re.findall(r"^\| `(heartbrain (?:(?:linkahead|quarantine|bridge(?= [a-z])) )?[a-z]+)", text, re.MULTILINE)
    )
    assert named <= known


@pytest.mark.parametrize("name", [name for name, _ in _commands(main)])
def test_the_help_of_every_command_shows_an_example(name: str) -> None:
    command = dict(_commands(main))[name]
    assert "Example: " in (command.help or "")


def _asked_for(*files: Path) -> set[str]:
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {re.split(r"[\[=<>]", line)[0] for line in lines if line and not line.startswith(("#", "-r"))}


def _explained(page: str, heading: str) -> set[str]:
    section = page.partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    return {name for row in rows[1:] for name in row.split(", ")}


def test_every_dependency_is_explained_and_no_other(project_root: Path) -> None:
    page = (project_root / "docs" / "dependencies.md").read_text(encoding="utf-8")
    requirements = project_root / "requirements"
    bridge = project_root / "hpc_bridge" / "requirements.in"
    run = _asked_for(requirements / "runtime.in", requirements / "build.in", bridge)
    assert _explained(page, "To run") == run
    assert _explained(page, "To develop and test") == _asked_for(requirements / "dev.in")
    assert _explained(page, "For `make bench`") == _asked_for(requirements / "bench.in") - run
    vendored = project_root / "src" / "heartbrain_ingest" / "portal" / "static" / "vendor"
    carried = {re.split(r"-\d", path.name)[0] for path in vendored.glob("*.js")}
    assert _explained(page, "Carried along") == carried


def test_every_package_that_the_tests_take_from_the_system_is_named(project_root: Path) -> None:
    page = (project_root / "docs" / "dependencies.md").read_text(encoding="utf-8").partition("## From the system")[2]
    needed = (project_root / ".ci" / "run").read_text(encoding="utf-8").partition("needed=(")[2].partition(")")[0]
    packages = {one.partition(":")[2] for one in needed.split()} - {"git", "make"}
    assert {name for name in packages if not re.search(rf"\b{name}\b", page)} == set()


def test_the_picture_of_the_house_shows_every_part_of_the_program(project_root: Path) -> None:
    picture = (project_root / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    shown = re.findall(r"[a-z_]+(?:\*?\.py|/)", picture)
    package = project_root / "src" / "heartbrain_ingest"
    parts = [path.name for path in package.glob("[a-z]*.py")]
    parts += [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    assert len(parts) > 40
    assert [part for part in parts if not any(fnmatch.fnmatchcase(part, one) for one in shown)] == []


def test_links_in_the_documents_lead_somewhere(project_root: Path) -> None:
    documents = [project_root / "README.md", *project_root.glob("docs/*.md"), *project_root.glob("*/README.md")]
    targets = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
        if not target.startswith(("http:", "https:"))
    ]
    assert len(targets) > len(documents)
    assert [f"{one.name}: {target}" for one, target in targets if not (one.parent / target).exists()] == []
