"""How a page is made: templates, texts in the visitor's language, numbers and dates as read there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

from babel.numbers import format_decimal, get_decimal_symbol
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from heartbrain_ingest.portal.texts import LANGUAGES, best_language, language_name, translations
from heartbrain_ingest.portal.visitors import Visitor
from heartbrain_ingest.settings import Settings
from heartbrain_ingest.shown import printable

LANGUAGE_COOKIE = "heartbrain-language"
_NOTHING = "\N{EN DASH}"
#: What `_` marks in the code of a page.
Translate = Callable[[str], str]


def render(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
    """Make a page from a template.

    A template has, besides `facts`: `visitor` (None before the log-in), `csrf`, `language`, `languages`,
    `static(path)`, `path`, `is_steward`, the functions `_` and `ngettext`, and the filters `number`, `exact`,
    `date`, `moment`, `segment` and `printable`.
    """
    visitor = visitor_of(request)
    settings = settings_of(request)
    page = _environment(language_of(request)).get_template(template)
    text = page.render(
        visitor=visitor,
        csrf=request.scope.get("csrf", ""),
        languages=[(one, language_name(one)) for one in LANGUAGES],
        path=request.url.path,
        here=_here(request),
        take_notices=lambda: _take_notices(visitor),
        is_steward=visitor is not None and settings.portal.steward_role in visitor.roles,
        **facts,
    )
    return HTMLResponse(text, status_code=status)


def _here(request: Request) -> str:
    """Give the page with its question, to come back to; the first page where it can't be opened again."""
    if request.method != "GET":
        return "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def go(path: str, **query: str) -> Response:
    """Send the browser to another page of the portal, after a change."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, status_code=303)


def tell(request: Request, text: str, *, failed: bool = False) -> None:
    """Let the visitor's next page say something; for after a change, which ends by going to a page."""
    visitor = visitor_of(request)
    if visitor is not None:
        visitor.notices = [*visitor.notices[-4:], (text, failed)]


def _take_notices(visitor: Visitor | None) -> list[tuple[str, bool]]:
    if visitor is None:
        return []
    notices, visitor.notices = visitor.notices, []
    return notices


def language_of(request: Request) -> str:
    """Give the language of a request."""
    return best_language(request.headers.get("accept-language", ""), request.cookies.get(LANGUAGE_COOKIE, ""))


def translator(request: Request) -> Translate:
    """Give what turns an English text into the visitor's language; call it `_`, so that texts are found."""
    return translations(language_of(request)).gettext


def visitor_of(request: Request) -> Visitor | None:
    """Give who asks; None before the log-in."""
    visitor: Visitor | None = request.scope.get("visitor")
    return visitor


def logged_in(request: Request) -> Visitor:
    """Give who asks, on a page that only opens after the log-in."""
    visitor = visitor_of(request)
    if visitor is None:
        raise AssertionError("the guard lets nobody in without a log-in")
    return visitor


def settings_of(request: Request) -> Settings:
    """Give the site's settings."""
    settings: Settings = request.app.state.settings
    return settings


@cache
def static(path: str) -> str:
    """Give the address of a file of the portal's own; it changes with the file's content."""
    content = (resources.files("heartbrain_ingest.portal") / "static" / path).read_bytes()
    return f"/static/{path}?{hashlib.sha256(content).hexdigest()[:12]}"


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("heartbrain_ingest.portal"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(static=static, language=language)
    environment.filters.update(
        number=lambda value: _number(value, language),
        exact=lambda value: _exact(value, language),
        date=lambda value: f"{value:%Y-%m-%d}",
        moment=_moment,
        segment=lambda value: quote(str(value), safe=""),
        printable=printable,
    )
    return environment


@lru_cache(maxsize=4096, typed=True)  # a page writes hundreds, most of them again and again
def _number(value: float | None, language: str) -> str:
    if value is None:
        return _NOTHING
    if not math.isfinite(value) or abs(value) >= 1e15:  # noqa: PLR2004 - Babel has no place for as many digits
        return f"{value:.4g}"
    if isinstance(value, int) or abs(value) >= 1e3:  # noqa: PLR2004 - digits after the point say nothing any more
        return str(format_decimal(round(value), locale=language))
    # Four significant digits.
    rounded = float(f"{value:.4g}")
    if rounded and abs(rounded) < 1e-3:  # noqa: PLR2004 - zeros after the point are hard to count
        return f"{rounded:.3g}".replace(".", get_decimal_symbol(language))
    return str(format_decimal(rounded, format="#,##0.######", locale=language))


@lru_cache(maxsize=4096, typed=True)
def _exact(value: float | None, language: str) -> str:
    """Write a number as it is stored: what a laboratory found is no more and no less than what it reported."""
    if value is None or not math.isfinite(value) or abs(value) >= 1e15:  # noqa: PLR2004 - as above
        return _number(value, language)
    return str(format_decimal(Decimal(f"{value:.15g}"), locale=language, decimal_quantization=False))


def _moment(value: datetime | None) -> str:
    """Write a moment so that nobody takes the day for the month, in any language."""
    return _NOTHING if value is None else f"{value.astimezone():%Y-%m-%d %H:%M}"
