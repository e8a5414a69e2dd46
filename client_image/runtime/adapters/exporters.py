"""The ways out for business events beside the channel: StatsD by UDP, OTLP by HTTP. Neither raises for what the other side does.

Made by the daemon where a setting asks for them; both block, for a bounded time.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Literal, Protocol
from urllib.parse import urlsplit

from contracts.export_address import StatsdAddress
from runtime.adapters.resolver import ask_system, resolve
from runtime.domain.export_formats import Origin, Told, otlp_logs, otlp_metrics, statsd_packets

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_CALL_S = 10.0
_RESOLVE_S = 5.0

# sent: it has them; again: it may have them later; never: it will not take these.
Fate = Literal["sent", "again", "never"]


class Exporter(Protocol):
    """``name``: of the sink."""

    @property
    def name(self) -> str: ...

    def send(self, told: Sequence[Told], origin: Origin) -> tuple[Fate, str]:
        """What becomes of these, and why they were not sent."""
        ...


class Statsd:
    """Fire and forget: nobody can say whether a packet arrived, so none is sent twice."""

    name = "statsd"

    def __init__(self, address: StatsdAddress) -> None:
        self._address = address

    def send(self, told: Sequence[Told], origin: Origin) -> tuple[Fate, str]:
        host, port = self._address.host, self._address.port
        found = resolve([host], limit=_RESOLVE_S, ask=ask_system).addresses.get(host)
        if not found:
            return "never", f"{host} has no address"
        try:
            family = socket.AF_INET6 if ":" in found[0] else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.setblocking(False)
                for packet in statsd_packets(told, origin, tags=self._address.tags):
                    way.sendto(packet, (found[0], port))
        except OSError as error:
            return "never", str(error.strerror or error)
        return "sent", ""


class Otlp:
    """POST of JSON to `/v1/logs` and `/v1/metrics` below ``base``. ``ca_path``: private CA bundle, empty for the public ones."""

    name = "otlp"

    def __init__(self, base: str, ca_path: str) -> None:
        self._base, self._ca_path = base.rstrip("/"), ca_path

    def send(self, told: Sequence[Told], origin: Origin) -> tuple[Fate, str]:
        """Logs first: when only the metrics fail, logs are sent twice rather than lost."""
        for path, body in (("/v1/logs", otlp_logs(told, origin)), ("/v1/metrics", otlp_metrics(told, origin))):
            if body is None:
                continue
            fate, why = self._post(path, body)
            if fate != "sent":
                return fate, why
        return "sent", ""

    def _post(self, path: str, body: bytes) -> tuple[Fate, str]:
        import requests  # only where OTLP is set
        from urllib3.util import Retry

        from runtime.adapters.http_deadline import DeadlinePassed, Wire

        headers = {"Content-Type": "application/json", "User-Agent": "FlageeMonitor"}
        try:
            with Wire() as wire, requests.Session() as session:
                session.trust_env = False
                session.verify = self._ca_path or True
                wire.mount(session, Retry(0))

                def post() -> int:
                    url = f"{self._base}{path}"
                    with session.post(url, data=body, headers=headers, allow_redirects=False, stream=True) as answer:
                        return answer.status_code

                status = wire.within(_CALL_S, post)
        except (DeadlinePassed, requests.RequestException, OSError, ValueError, RuntimeError) as error:
            return "again", f"{urlsplit(self._base).netloc}: {type(error).__name__}"
        if 200 <= status < 300:
            return "sent", ""
        return ("again" if status in _AGAIN else "never"), f"{urlsplit(self._base).netloc} answers {status} to {path}"
