"""A tiny JSON-RPC server on loopback that records what it is asked: for request shapes of Zabbix versions that no machine here
has, and for answers that no honest Zabbix gives. The real one is met in tests/integration/test_zabbix_inventory.py.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contracts.config import NetworkConfig
from runtime.adapters.inventory import open_inventory
from runtime.domain.ports import Inventory
from tests.harness.ports import LOOPBACK

TOKEN = "b5d1b3e0c0ffee0000000000000000000000000000000000000000000000f00d"


@dataclass(frozen=True, slots=True)
class Asked:
    """One recorded request."""

    method: str
    params: Any
    auth: str | None
    bearer: str | None
    path: str


@dataclass(slots=True)
class StandIn:
    """``raw``: the whole response, status line included, instead of an answer; ``drip``: seconds between its bytes."""

    results: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    drip: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def of(self, method: str) -> list[Asked]:
        return [one for one in self.asked if one.method == method]

    def response(self, asked: Asked, rpc_id: object) -> bytes:
        if self.raw is not None:
            return self.raw
        result = self.results[asked.method]
        result = result(asked.params) if callable(result) else result
        body = json.dumps({"jsonrpc": "2.0", "result": result, "id": rpc_id}).encode()
        return http(body)


def http(body: bytes, status: str = "200 OK", *more: str, content_type: str = "application/json") -> bytes:
    """A whole response; ``more`` are header lines."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def results(version: str, *rows: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Answers of a Zabbix with one group, ACME, and these hosts."""
    return {
        "apiinfo.version": version,
        "hostgroup.get": [{"groupid": "20", "name": "ACME"}],
        "host.get": list(rows),
        "hostinterface.get": lambda params: interfaces(rows, params),
        **{name.replace("_", "."): value for name, value in more.items()},
    }


def interfaces(rows: Iterable[Mapping[str, Any]], params: Any) -> Any:
    """What `hostinterface.get` answers about these hosts: the interfaces that pass its filter, or one of its searches, or how
    many they are."""
    given, parts = params.get("filter", {}), params.get("search", {})
    found = [
        {"interfaceid": f"{row['hostid']}{number}", "hostid": row["hostid"]}
        for row in rows
        for number, one in enumerate(row["interfaces"])
        if not (given or parts)
        or one["useip"] == str(given.get("useip"))
        or any(one[field] in given.get(field, ()) for field in ("ip", "dns"))
        or any(part in one[field] for field in parts for part in parts[field])
    ]
    return str(len(found)) if params.get("countOutput") else found


def host_row(host_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A host as 6.0 answers it: everything is text."""
    interface = {"type": "1", "main": "1", "useip": "1", "ip": "10.0.0.1", "dns": "", "port": "10050", "available": "1"}
    return {
        "hostid": host_id,
        "host": name,
        "name": name,
        "status": "0",
        "maintenance_status": "0",
        "interfaces": [interface],
        "tags": [],
        "groups": [{"groupid": "20", "name": "ACME"}],
        **more,
    }


@contextlib.contextmanager
def standing_in(stand_in: StandIn, tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """Serve ``stand_in``; its ``url`` is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bearer = self.headers.get("Authorization")
            asked = Asked(request["method"], request["params"], request.get("auth"), bearer, self.path)
            stand_in.asked.append(asked)
            self.close_connection = True
            with contextlib.suppress(ConnectionError):
                response = stand_in.response(asked, request["id"])
                for piece in [response] if not stand_in.drip else [response[n : n + 1] for n in range(len(response))]:
                    self.wfile.write(piece)
                    time.sleep(stand_in.drip)

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that refuses our certificate is what some tests want."""

    with Server((LOOPBACK, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        stand_in.url = f"http{'s' if tls else ''}://{LOOPBACK}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path, address: str = LOOPBACK) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for ``address``: the file that makes a client trust it, and the server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "stand-in.pem", folder / "stand-in.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


def inventory_at(url: str, **source: Any) -> Inventory:
    """The product's inventory of the network ACME, reading from ``url``."""
    inventory = {"kind": "zabbix", "url": url, "token": TOKEN, "timeout": 5, **source}
    return open_inventory(NetworkConfig.model_validate({"network": "ACME", "inventory": inventory}), {})
