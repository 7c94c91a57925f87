"""Which route serves whom: LinkAhead users, and groups as LinkAhead's roles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from linkahead.common.administration import _get_roles
from linkahead.exceptions import LinkAheadException

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.postprocessing.routes import EVERYBODY
from heartbrain_ingest.settings import Route


class Users:
    """Finds the route of a user; asks LinkAhead for roles only where a route names groups."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._known: dict[str, str | None] = {}
        self._own: str | None = None

    @property
    def own_user(self) -> str | None:
        """The user that this process is in LinkAhead."""
        if self._own is None:
            with suppress(LinkAheadException, AttributeError):
                self._own = str(db.Info().user_info.name)
        return self._own

    def route_of(self, user: str) -> str | None:
        """Give the name of the first route that serves a user; None when none does."""
        if user not in self._known:
            self._known[user] = self._find(user)
        return self._known[user]

    def _find(self, user: str) -> str | None:
        found = route_for(self._routes, user, lambda: _roles(user))
        return found.name if found else None


def route_for(routes: Sequence[Route], user: str, roles: Callable[[], Collection[str]]) -> Route | None:
    """Give the first route that serves a user; roles are asked for only where a route names groups."""
    known: Collection[str] | None = None
    for route in routes:
        if user in route.users or EVERYBODY in route.users:
            return route
        if route.groups:
            known = roles() if known is None else known
            if set(known) & set(route.groups):
                return route
    return None


def _roles(user: str) -> set[str]:
    with suppress(LinkAheadException):
        return {str(role) for role in _get_roles(user)}  # type: ignore[no-untyped-call]
    return set()
