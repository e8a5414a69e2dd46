"""A real HTTP proxy on loopback, as a company's network has one: CONNECT and plain http, with a login if it is to ask for one.

It alone knows the names in `.test`, as in networks whose own name servers know nothing of the Internet: each is this machine.
"""

import asyncio
import base64
import contextlib
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.harness import weird
from tests.harness.ports import LOOPBACK

_HEAD_S = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. ``target``: host:port; ``login``: user:password, empty without; ``served``: whether it was let through."""

    method: str
    target: str
    login: str
    served: bool


@dataclass(slots=True)
class WebProxy:
    """`login`: the one that it asks for, empty for none; it may be changed at any time."""

    login: str = ""
    port: int = 0
    _asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        """Without a login."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """With the login that it asks for."""
        return f"http://{self.login}@{LOOPBACK}:{self.port}" if self.login else self.address

    @property
    def asked(self) -> tuple[Asked, ...]:
        with self._lock:
            return tuple(self._asked)

    def forget(self) -> None:
        with self._lock:
            self._asked.clear()

    async def behave(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, one request."""
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_S)).decode("latin-1")
        line, *headers = head.rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ", 2)
        fields = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in headers)}
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = url.hostname or "", url.port or 80
        login = _login(fields.get("proxy-authorization", ""))
        served = not self.login or login == self.login
        with self._lock:
            self._asked.append(Asked(method, f"{host}:{port}", login, served))
        if not served:
            writer.write(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="company"\r\n'
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        try:
            there, onward = await asyncio.open_connection(LOOPBACK if host.endswith(".test") else host, port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                kept = [one for one in headers if not one.lower().startswith(("proxy-", "connection:"))]
                path = url._replace(scheme="", netloc="").geturl() or "/"
                onward.write(
                    "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")
                )
            await _first_end(_pass_on(reader, onward), _pass_on(there, writer))
        finally:
            onward.transport.abort()


@contextlib.contextmanager
def running(login: str = "") -> Iterator[WebProxy]:
    """It answers until the end."""
    proxy = WebProxy(login)
    with weird.serving(proxy.behave) as port:
        proxy.port = port
        yield proxy


def _login(header: str) -> str:
    kind, _, value = header.partition(" ")
    try:
        return base64.b64decode(value).decode() if kind.lower() == "basic" else ""
    except ValueError:
        return ""


async def _pass_on(source: StreamReader, target: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


async def _first_end(onward: Coroutine[None, None, None], back: Coroutine[None, None, None]) -> None:
    """Until the other side has said all; what the caller still sends then is for nobody."""
    sending, receiving = asyncio.ensure_future(onward), asyncio.ensure_future(back)
    try:
        await receiving
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
