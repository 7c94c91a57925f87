"""The portal's languages: what stands in the code is English, each other language is a folder of catalogues."""

from __future__ import annotations

import gettext
import io
from functools import cache
from importlib import resources

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("en", "de")
_NAMES = {"en": "English", "de": "Deutsch"}


def language_name(language: str) -> str:
    """Give a language's own name."""
    return _NAMES[language]


def best_language(wishes: str, chosen: str = "") -> str:
    """Choose a language.

    Parameters
    ----------
    wishes
        The header `Accept-Language`.
    chosen
        What the visitor chose; it goes before the header.
    """
    if chosen in LANGUAGES:
        return chosen
    weighted: list[tuple[float, int, str]] = []
    for position, part in enumerate(wishes.split(",")[:20]):
        tag, _, weight = part.partition(";q=")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        weighted.append((-value, position, tag.strip().lower().partition("-")[0]))
    return next((tag for _, _, tag in sorted(weighted) if tag in LANGUAGES), LANGUAGES[0])


@cache
def translations(language: str) -> gettext.NullTranslations:
    """Give the texts of a language; those of English are what stands in the code."""
    if language == "en":
        return gettext.NullTranslations()
    merged = Catalog(locale=language)
    folder = resources.files("heartbrain_ingest.portal") / "locale" / language
    for part in sorted((one for one in folder.iterdir() if one.name.endswith(".po")), key=lambda one: one.name):
        for message in read_po(io.BytesIO(part.read_bytes()), locale=language):
            if message.id:
                merged[message.id] = message
    packed = io.BytesIO()
    write_mo(packed, merged)
    packed.seek(0)
    return gettext.GNUTranslations(packed)
