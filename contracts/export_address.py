"""Addresses of StatsD and OTLP, as a setting of the proxy names them. Pure; read by daemon and deploy."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from contracts.text import say

STATSD_PORT = 8125


@dataclass(frozen=True, slots=True)
class StatsdAddress:
    """``tags``: it is DogStatsD."""

    host: str
    port: int
    tags: bool


def parse_statsd(text: str) -> StatsdAddress:
    """`statsd://host[:port]` or `dogstatsd://host[:port]`. Raises ValueError with a sentence."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("statsd", "dogstatsd") or parts.path not in ("", "/"):
        raise ValueError(say("must be statsd://host:port or dogstatsd://host:port"))
    return StatsdAddress(parts.hostname or "", parts.port or STATSD_PORT, tags=parts.scheme == "dogstatsd")


def parse_otlp(text: str) -> str:
    """The base address. Raises ValueError with a sentence."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https"):
        raise ValueError(say("must be http://host:port or https://host:port, without a login"))
    return text.rstrip("/")


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    plain = not parts.username and not parts.password and not parts.query and not parts.fragment
    return parts if parts.hostname and plain and port != 0 else None
