"""A reverse proxy on loopback in front of an HTTP service, that fails on demand as real networks and servers do.

Called by tests of whatever talks HTTP (Zabbix, the control plane). It passes everything through until a fault is set.
"""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.harness.ports import LOOPBACK

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer this instead of asking the service."""

    status: int = 500
    body: bytes = b"Internal Server Error"
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class RpcError:
    """Answer 200 with a JSON-RPC error inside, as Zabbix does."""

    code: int = -32602
    message: str = "Invalid params."
    data: str = "Not authorised."


@dataclass(frozen=True, slots=True)
class Cut:
    """Ask the service, send the first `after` bytes of its response (headers counted), and close the connection."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and say nothing until the fault is lifted."""


Fault = Answer | RpcError | Cut | Hang


@dataclass(slots=True)
class FaultProxy:
    """The proxy: `url` stands for the service's own; `requests` lists what came, as (path, JSON-RPC method or '')."""

    url: str
    upstream: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    _fault: Fault | None = None
    _only: str | None = None
    _times: int | None = None
    _lifted: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def failing(self, fault: Fault, *, method: str | None = None, times: int | None = None) -> Iterator[None]:
        """Apply `fault` while the block runs; only to the JSON-RPC `method`, only the first `times` requests, if given."""
        with self._lock:
            self._fault, self._only, self._times = fault, method, times
            self._lifted.clear()
        try:
            yield
        finally:
            self.lift()

    def lift(self) -> None:
        """Be honest again, and let go of requests that hang."""
        with self._lock:
            self._fault = None
            self._lifted.set()

    def _fault_for(self, path: str, method: str) -> Fault | None:
        with self._lock:
            self.requests.append((path, method))
            if self._fault is None or self._only not in {None, method} or self._times == 0:
                return None
            if self._times is not None:
                self._times -= 1
            return self._fault

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        method, rpc_id = _rpc_of(body)
        match self._fault_for(handler.path, method):
            case Hang():
                self._lifted.wait()
                response = b""
            case Answer(status, text, content_type):
                response = _response(status, [("Content-Type", content_type)], text)
            case RpcError(code, message, data):
                error = {"code": code, "message": message, "data": data}
                text = json.dumps({"jsonrpc": "2.0", "error": error, "id": rpc_id}).encode()
                response = _response(200, [("Content-Type", "application/json")], text)
            case Cut(after):
                response = self._ask(handler, body)[:after]
            case None:
                response = self._ask(handler, body)
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(response)

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> bytes:
        where = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(where.hostname or LOOPBACK, where.port, timeout=60)
        headers = {key: value for key, value in handler.headers.items() if key.lower() not in _HOP_BY_HOP}
        with contextlib.closing(connection):
            connection.request(handler.command, where.path.rstrip("/") + handler.path, body, headers)
            answer = connection.getresponse()
            kept = [(key, value) for key, value in answer.getheaders() if key.lower() not in _HOP_BY_HOP]
            return _response(answer.status, kept, answer.read())


@contextlib.contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy in front of the HTTP service at `upstream` (a base URL)."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            proxy._serve(self)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any  # noqa: N815 -- the names are the library's

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        proxy = FaultProxy(url=f"http://{LOOPBACK}:{server.server_port}", upstream=upstream)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.lift()
            server.shutdown()
            thread.join()


def _rpc_of(body: bytes) -> tuple[str, object]:
    """Method and id of a JSON-RPC request; '' and None for anything else."""
    try:
        request = json.loads(body)
        return str(request["method"]), request.get("id")
    except (ValueError, KeyError, TypeError):
        return "", None


def _response(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
    lines += [f"{key}: {value}" for key, value in headers]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
