from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from heartbrain_ingest.errors import SettingsError
from heartbrain_ingest.settings import (
    Settings,
    default_settings_text,
    find_settings,
    load_settings,
    settings_reference,
)


def _write(folder: Path, text: str) -> Path:
    path = folder / "heartbrain.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_settings_file_of_a_new_site_holds_every_setting_with_its_default(tmp_path: Path) -> None:
    path = _write(tmp_path, default_settings_text())
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, _default, text in settings_reference():
        if "[]" in name:  # of the entries of a list, which is empty
            continue
        place = content
        for part in name.split("."):
            assert part in place
            place = place[part]
        assert text
        assert text in path.read_text(encoding="utf-8")
    defaults, loaded = Settings(), load_settings(path)
    assert loaded.conversion == defaults.conversion
    assert loaded.projects == defaults.projects


def test_an_empty_file_means_the_defaults_with_paths_beside_it(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, ""))
    assert settings.folders.archive == tmp_path / "archive"
    assert settings.database == tmp_path / "state" / "linkahead.db"
    assert settings.ledger.parent == settings.key_file.parent == tmp_path / "state"


def test_places_can_be_moved_apart_and_absolute_paths_stay(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, "folders: {archive: /srv/archive, inbox: ../inbox}"))
    assert settings.folders.archive == Path("/srv/archive")
    assert settings.folders.inbox.resolve() == tmp_path.parent / "inbox"
    assert settings.folders.state == tmp_path / "state"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("respnsible: X", "responsible"),
        ("conversion: {compresion_level: 3}", "conversion.compression_level"),
        ("inbox: {quiet_minuts: 3}", "inbox.quiet_minutes"),
        ("folder: {inbox: x}", "folders"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path: Path, text: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=rf"is not known; did you mean `{nearest}`\?"):
        load_settings(_write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("conversion: {compression_level: 10}", "conversion.compression_level"),
        ("conversion: {fidelity: some}", "conversion.fidelity"),
        ("jobs: -1", "jobs"),
        ("projects: {default: HeartAndBrain}", "projects.default"),
        ('projects: {rules: [{project: 2023_X, study_description: "("}]}', "projects.rules.0.study_description"),
        ("projects: {rules: [{study_description: x}]}", "projects.rules.0.project"),
    ],
)
def test_a_value_that_can_not_be_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(SettingsError, match=rf"heartbrain\.yml: `{place}`: "):
        load_settings(_write(tmp_path, text))


@pytest.mark.parametrize("text", ["- a list", "a: [", "\x00"])
def test_what_is_no_settings_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"heartbrain\.yml: "):
        load_settings(_write(tmp_path, text))


def test_the_file_is_the_one_named_else_of_the_environment_else_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, other, here = (tmp_path / name for name in ("named.yml", "other.yml", "heartbrain.yml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEARTBRAIN_SETTINGS", raising=False)
    with pytest.raises(SettingsError, match="`heartbrain init DIR` makes a site"):
        find_settings(None)
    for path in (named, other, here):
        path.touch()
    assert find_settings(None).resolve() == here
    monkeypatch.setenv("HEARTBRAIN_SETTINGS", str(other))
    assert find_settings(None) == other
    assert find_settings(named) == named


def test_the_fields_of_a_lists_entries_are_settings_too() -> None:
    known = {name: default for name, default, _ in settings_reference()}
    assert known["projects.rules[].project"] == "(required)"
    assert known["bridge.routes[].agent_keys"] == "null"
    assert known["bridge.routes[].bucket.kind"] == "folder"


def test_every_setting_is_documented_as_it_is(project_root: Path) -> None:
    page = (project_root / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, default, text in settings_reference():
        line = next((line for line in page.splitlines() if f"`{name}`" in line), "")
        assert line, f"docs/settings.md does not tell of {name}"
        assert default in line
        assert text in line
