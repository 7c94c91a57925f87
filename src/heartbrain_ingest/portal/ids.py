"""Numbers of LinkAhead's entities, as addresses and forms name them."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request

#: They have 32 bits.
_NUMBER = re.compile(r"[0-9]{1,10}")


def read_id(text: str) -> int | None:
    """Read a number; None for what is none, or longer than any."""
    return int(text) if _NUMBER.fullmatch(text) else None


def id_in_path(request: Request) -> int:
    """Give the number in the address of a page.

    Raises
    ------
    HTTPException
        When there is none: no such page.
    """
    number = read_id(request.path_params["id"])
    if number is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return number
