from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from heartbrain_ingest import __version__
from heartbrain_ingest.cli import main
from heartbrain_ingest.settings import Settings
from linkahead_embedded.auth import Gate
from linkahead_embedded.bootstrap import open_application

PROGRAM = Path(sys.executable).with_name("heartbrain")


def _commands(group: click.Group, name: str = "heartbrain") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


COMMANDS = dict(_commands(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example_that_can_be_typed(name: str) -> None:
    shown = CliRunner().invoke(main, [*name.split()[1:], "--help"])
    assert shown.exit_code == 0
    example = next(line.strip() for line in shown.output.splitlines() if line.strip().startswith("Example: "))
    assert name in example
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str, project_root: Path) -> None:
    pages = [project_root / "README.md", *(project_root / "docs").glob("*.md")]
    assert any(name in page.read_text(encoding="utf-8") for page in pages)


def test_help_and_version_are_quick_because_nothing_heavy_is_loaded() -> None:
    code = "import sys; from heartbrain_ingest import cli; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for heavy in ("pydicom", "numpy", "nibabel", "linkahead", "caoscrawler", "pandas", "yaml"):
        assert f"'{heavy}'" not in done.stdout


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"heartbrain, version {__version__}\n"


def test_init_makes_a_site_whose_identified_folders_only_the_owner_reads(tmp_path: Path) -> None:
    done = subprocess.run([PROGRAM, "init", tmp_path / "site"], capture_output=True, text=True, check=True, timeout=60)
    assert "heartbrain ingest --settings" in done.stdout
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert names == {"heartbrain.yml", *(str(place) for _, place in Settings().folders)}
    for name in ("inbox", "staging", "state"):
        assert stat.S_IMODE((tmp_path / "site" / name).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "site" / "state" / "pseudonyms.yml").stat().st_mode) == 0o600


def test_init_lets_one_person_into_the_portal_whose_password_only_the_owner_reads(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["init", str(tmp_path)], catch_exceptions=False).output
    note = tmp_path / "state" / "first-login.txt"
    assert str(note) in shown
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    name, password = note.read_text(encoding="ascii").split()
    gate = Gate(open_application(tmp_path / "state" / "linkahead.db").database)
    assert gate.login(name, password)
    assert gate.login(name, "another") is None
    assert gate.roles(name) == ("administration",)


def test_a_user_gets_a_role_and_a_password(tmp_path: Path) -> None:
    file = str(tmp_path / "linkahead.db")
    runner = CliRunner(env={"HEARTBRAIN_LINKAHEAD_PASSWORD": "one two three"})
    for role in ("readonly", "researcher"):
        done = runner.invoke(main, ["linkahead", "user", "clara", "--role", role, "--database", file])
        assert done.exit_code == 0, done.output
        assert "one two three" not in done.output
    gate = Gate(open_application(file).database)
    assert gate.login("clara", "one two three")
    assert gate.roles("clara") == ("researcher",)


def test_init_again_changes_nothing(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["init", str(tmp_path)], catch_exceptions=False)
    (tmp_path / "heartbrain.yml").write_text("responsible: Somebody\n", encoding="utf-8")
    (tmp_path / "crawler_config" / "lab.yml").write_text("mine", encoding="utf-8")
    secrets = [(tmp_path / "state" / name).read_bytes() for name in ("pseudonyms.yml", "first-login.txt")]
    CliRunner().invoke(main, ["init", str(tmp_path)], catch_exceptions=False)
    assert (tmp_path / "heartbrain.yml").read_text(encoding="utf-8") == "responsible: Somebody\n"
    assert (tmp_path / "crawler_config" / "lab.yml").read_text(encoding="utf-8") == "mine"
    assert [(tmp_path / "state" / name).read_bytes() for name in ("pseudonyms.yml", "first-login.txt")] == secrets


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ingest"], "`heartbrain init DIR` makes a site"),
        (["status"], "`heartbrain init DIR` makes a site"),
        (["ingest", "--inbox", "nowhere"], "does not exist"),
        (["ingest", "--executor", "magic"], "processes"),
        (["linkahead", "serve", "--database", "x.db"], "HEARTBRAIN_LINKAHEAD_PASSWORD"),
        (["inget"], "No such command"),
    ],
)
def test_what_can_not_work_ends_with_2_and_says_what_to_do(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("HEARTBRAIN"):
            monkeypatch.delenv(name)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert message in done.output


def test_an_error_in_the_rules_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["init", str(tmp_path)], catch_exceptions=False)
    (tmp_path / "crawler_config" / "bids_rules.yml").write_text("rules: 5", encoding="utf-8")
    done = CliRunner().invoke(main, ["ingest", "--settings", str(tmp_path / "heartbrain.yml")])
    assert done.exit_code == 2
    assert done.output.startswith("heartbrain: ")
    assert "bids_rules.yml" in done.output


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["init", str(tmp_path)], catch_exceptions=False)
    (tmp_path / "state" / "pseudonyms.yml").chmod(0o644)
    done = CliRunner().invoke(main, ["ingest", "--settings", str(tmp_path / "heartbrain.yml")])
    assert done.exit_code == 2
    assert "0644" in done.output


def test_an_empty_inbox_is_nothing_new(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["init", str(tmp_path)], catch_exceptions=False)
    settings = str(tmp_path / "heartbrain.yml")
    done = CliRunner().invoke(main, ["ingest", "--settings", settings], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith("Nothing is new: 0 files")
    assert CliRunner().invoke(main, ["check", "--settings", settings], catch_exceptions=False).exit_code == 0
    assert "Input files" in CliRunner().invoke(main, ["status", "--settings", settings]).output
