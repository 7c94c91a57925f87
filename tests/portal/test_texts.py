"""The portal's languages: each text has its German, and every visitor gets the language asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

import heartbrain_ingest.portal
from heartbrain_ingest.portal.texts import best_language, translations

PORTAL = Path(heartbrain_ingest.portal.__file__).parent
_PLACES = re.compile(r"%\((\w+)\)[sd]")


def _texts() -> dict[str, str]:
    """Give every text that pages and code mark, with the plural or nothing."""
    found: dict[str, str] = {}
    methods = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
    options = {"**.html": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
    keywords = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
    for _file, _line, message, _comments, _context in extract_from_dir(PORTAL, methods, options, keywords):
        one, many = message if isinstance(message, tuple) else (message, "")
        found[one] = many or found.get(one, "")
    return found


def _german() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted((PORTAL / "locale" / "de").glob("*.po")):
        with file.open("rb") as stream:
            for message in read_po(stream):
                if not message.id:
                    continue
                ids = message.id if isinstance(message.id, list | tuple) else (message.id,)
                texts = message.string if isinstance(message.string, list | tuple) else (message.string,)
                assert ids[0] not in found or found[ids[0]] == tuple(texts), (
                    f"{file.name}: {ids[0]} is said in two ways"
                )
                found[ids[0]] = tuple(texts)
    return found


def test_every_text_of_the_portal_has_its_german() -> None:
    texts, german = _texts(), _german()
    assert len(texts) > 50
    missing = [one for one, many in texts.items() if len([t for t in german.get(one, ()) if t]) < (2 if many else 1)]
    assert missing == []


_GETTEXTS = {"_": 1, "gettext": 1, "ngettext": 2}


@pytest.mark.parametrize("template", sorted((PORTAL / "templates").glob("*.html")), ids=lambda one: one.name)
def test_a_page_translates_only_what_stands_in_it(template: Path) -> None:
    """What is translated in a page is taken for HTML, so that data would be HTML as well."""
    tree = Environment(extensions=["jinja2.ext.i18n"]).parse(template.read_text(encoding="utf-8"))  # noqa: S701 - only read
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in _GETTEXTS:
            texts = call.args[: _GETTEXTS[call.node.name]]
            assert texts, f"line {call.lineno}"
            assert all(isinstance(one, nodes.Const) for one in texts), f"line {call.lineno}"
    filters = {one.name for one in tree.find_all(nodes.Filter)}
    assert not filters & {"safe", "forceescape", "_", "gettext"}


def test_no_german_is_left_of_texts_that_are_gone() -> None:
    assert sorted(set(_german()) - set(_texts())) == []


def test_a_translation_fills_in_what_the_text_fills_in() -> None:
    for one, german in _german().items():
        for text in german:
            assert set(_PLACES.findall(text)) == set(_PLACES.findall(one)), one


@pytest.mark.parametrize(
    ("wishes", "chosen", "language"),
    [
        ("", "", "en"),
        ("de", "", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "", "de"),
        ("fr, en;q=0.5, de;q=0.7", "", "de"),
        ("de;q=0.3, en;q=0.9", "", "en"),
        ("de;q=x, en", "", "en"),
        ("en", "de", "de"),
        ("de", "klingon", "de"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(wishes: str, chosen: str, language: str) -> None:
    assert best_language(wishes, chosen) == language


def test_a_number_of_things_is_said_as_it_is_in_german() -> None:
    german = translations("de")
    assert german.ngettext("%(num)d file", "%(num)d files", 1) == "%(num)d Datei"
    assert german.ngettext("%(num)d file", "%(num)d files", 3) == "%(num)d Dateien"
