"""The service: a request in, a response out. Both transports call it, so that they can't differ."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from urllib.parse import quote

from . import access
from .admin_api import AdminApi, entity_permissions
from .auth import NOBODY, TOKEN_LIFETIME_MS, Gate, User
from .entity_api import EntityApi
from .errors import Code, EmbeddedError, QueryError, RequestError
from .exchange import Call, Request, Response, answer, decode, error_response, take_apart
from .files import FileStore
from .scripting import ScriptingApi
from .storage import Database

_LOG = logging.getLogger(__name__)
Handler = Callable[[Call], Response]


class Application:
    """One embedded LinkAhead on one database."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self.database = database
        self.files = files
        self.scripting = ScriptingApi(database)
        self._gate = Gate(database)
        entities = EntityApi(database, files)
        self._routes: dict[tuple[str, str], tuple[str | None, Handler]] = {
            ("POST", "login"): (None, self._login),
            ("GET", "logout"): (None, self._logout),
            ("DELETE", "logout"): (None, self._logout),
            ("GET", "Entity"): (access.RETRIEVE, entities.retrieve),
            ("POST", "Entity"): (access.INSERT, entities.insert),
            ("PUT", "Entity"): (access.UPDATE, entities.update),
            ("DELETE", "Entity"): (access.DELETE, entities.delete),
            ("GET", "FileSystem"): (access.RETRIEVE, entities.download),
            ("GET", "Thumbnails"): (access.RETRIEVE, entities.thumbnail),
            ("GET", "Info"): (access.RETRIEVE, entities.info),
            ("POST", "scripting"): (None, self.scripting.run),
            ("GET", "EntityPermissions"): (access.RETRIEVE, entity_permissions),
            ("GET", "openapi.yaml"): (None, _description),
        }
        for key, handler in AdminApi(database).routes().items():
            self._routes[key] = (access.ADMINISTRATE, handler)

    @property
    def routes(self) -> frozenset[tuple[str, str]]:
        """Method and first path segment of all that is answered."""
        return frozenset(self._routes)

    def handle(self, request: Request, user: User | None = None) -> Response:
        """Answer a request; never raises.

        Parameters
        ----------
        request
            What is asked.
        user
            Who asks, where the transport knows. Without, the token in the request says it.
        """
        try:
            return self._route(request, user or self._bearer(request))
        except RequestError as problem:
            return error_response(problem.status, problem.description, problem.code)
        except QueryError as problem:
            return error_response(400, problem.description, problem.code)
        except EmbeddedError as problem:
            return error_response(500, str(problem))
        except Exception:  # noqa: BLE001 - the client gets an answer whatever happens, the log the trace
            reference = secrets.token_hex(4)
            _LOG.exception("A %s request failed, reference %s.", request.method, reference)
            return error_response(500, f"Internal error, see the log of the server for {reference}.")

    def _route(self, request: Request, user: User) -> Response:
        call = take_apart(request, user)
        method = "GET" if request.method == "HEAD" else request.method
        first = call.segments[0]
        if (method, first) not in self._routes:
            status = 405 if any(first == known for _, known in self._routes) else 404
            what = f"{request.method} {first[:40]}"
            raise RequestError(status, f"{what} is not implemented by the embedded LinkAhead.", Code.NOT_IMPLEMENTED)
        permission, handler = self._routes[method, first]
        if permission is not None and not access.may(self.database.connection(), user, permission):
            status = 401 if user.is_anonymous else 403
            raise RequestError(status, f"You are not permitted to do this: {permission}.", Code.NOT_PERMITTED)
        return handler(call)

    def _bearer(self, request: Request) -> User:
        """Recognise who sent a request by its session token; NOBODY without a valid one."""
        for cookie in request.headers.get("cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == "SessionToken" and value:
                return self._gate.user(decode(value)) or NOBODY
        return NOBODY

    def _login(self, call: Call) -> Response:
        form = call.form
        name = form.get("username", "")
        token = self._gate.login(name, form.get("password", ""))
        if token is None:
            raise RequestError(401, "User and password do not fit.", Code.NOT_PERMITTED)
        # The client wants the header to start with the token and to have a semicolon; else it logs in for each request.
        value = f"SessionToken={quote(token, safe='')}"
        cookie = f"{value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={TOKEN_LIFETIME_MS // 1000}"
        return replace(answer(User(name, self._gate.roles(name)), []), headers={"Set-Cookie": cookie})

    @staticmethod
    def _logout(call: Call) -> Response:
        return replace(answer(call.user, []), headers={"Set-Cookie": "SessionToken=; Path=/; Max-Age=0"})


def _description(_: Call) -> Response:
    """GET openapi.yaml: what this server answers to."""
    text = resources.files(__package__).joinpath("openapi.yaml").read_bytes()
    return Response(200, text, "application/yaml")
