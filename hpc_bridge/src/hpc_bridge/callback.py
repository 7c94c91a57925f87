"""Tell the RDM side that a job is over: a signed hint, at least once; polling stays the source of truth."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol.calls import HEADER, signature


class CallbackError(BridgeError):
    """The RDM side was not called: nothing is lost, it asks by itself."""


def allowed_target(url: str, hosts: tuple[str, ...]) -> tuple[str, str, int, str]:
    """Check a URL against the allow-list and give (scheme, host, port, path).

    Plain http only goes to this machine. The list names hosts, or hosts with a port.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    try:
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if not port or not host or parts.username or parts.password or any(ord(sign) <= 32 for sign in url):  # noqa: PLR2004
        raise CallbackError("not an http URL")
    if f"{host}:{port}" not in hosts and not (host in hosts and port in {80, 443}):
        raise CallbackError("the host is not on the allow-list")
    if parts.scheme != "https" and host not in {"localhost", "127.0.0.1", "::1"}:
        raise CallbackError("only https leaves this machine")
    return parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def call(url: str, body: bytes, secret: bytes, *, hosts: tuple[str, ...], seconds: float) -> None:
    """Post the body once: no redirects, to an address that was checked, with a time limit.

    Raises
    ------
    CallbackError
        When the target is not allowed or did not answer with 2xx.
    """
    scheme, host, port, path = allowed_target(url, hosts)
    address = _checked_address(host, port)
    connection = _connection(scheme, host, port, address, seconds)
    try:
        headers = {"Content-Type": "application/json", HEADER: signature(secret, body)}
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as problem:
        raise CallbackError(type(problem).__name__) from None
    finally:
        connection.close()
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP; a redirect is not followed
        raise CallbackError(f"answer {status}")


def _checked_address(host: str, port: int) -> str:
    try:
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        raise CallbackError("the host's name is not known") from None
    where = ipaddress.ip_address(address.partition("%")[0])
    local = host in {"localhost", "127.0.0.1", "::1"}
    if where.is_link_local or where.is_multicast or where.is_unspecified or where.is_reserved:
        raise CallbackError("the host's address is not one of a server")
    if where.is_loopback and not local:
        raise CallbackError("the host's address is this machine's")
    return address


class _PinnedTls(http.client.HTTPSConnection):
    """TLS to an address that was checked, with the name's certificate."""

    def __init__(self, host: str, port: int, address: str, seconds: float) -> None:
        self._context_used = ssl.create_default_context()
        super().__init__(host, port, timeout=seconds, context=self._context_used)
        self._address = address

    def connect(self) -> None:
        """Connect to the checked address."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._context_used.wrap_socket(plain, server_hostname=self.host)


def _connection(scheme: str, host: str, port: int, address: str, seconds: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return _PinnedTls(host, port, address, seconds)
    return http.client.HTTPConnection(address, port, timeout=seconds)
