"""The HTTP proxy between a site and the Internet: its address, its login, and which hosts are asked without it. Pure.

Called by deploy, which reads the host's settings, and by the runtime's HTTP clients. Messages say "HTTP proxy", because "the
proxy" alone is this product.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from contracts.address import is_loopback, parse_address, parse_network
from contracts.bounded import whole
from contracts.secret import Secret
from contracts.text import say

# In the configuration's folder: the logins of HTTP proxies by host:port, as JSON.
LOGINS_FILE = "proxy_logins.json"
# Never through an HTTP proxy: this machine itself.
LOOPBACK = ("localhost", "127.0.0.0/8", "::1")
# Not through one unless that is asked for: terminals, concentrators and Zabbix are in these.
PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
    *("fc00::/7", "fe80::/10"),
)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_LOGIN = re.compile(r"[\x21-\x7e]+")
_ENTRY = re.compile(r"[A-Za-z0-9.*_:/\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class WebProxy:
    """``address``: http://host:port, without a login. ``login``: user:password as in a URL, with its percent signs."""

    address: str
    login: Secret | None = None

    @property
    def place(self) -> str:
        """host:port"""
        return self.address.partition("://")[2]

    def with_login(self) -> str:
        """The URL for an HTTP client. It may contain a password, so it is never shown."""
        scheme, _, place = self.address.partition("://")
        return f"{scheme}://{self.login.reveal()}@{place}" if self.login else self.address


@dataclass(frozen=True, slots=True)
class Outbound:
    """How HTTP leaves this host. ``https``, ``http``: for addresses of that scheme. ``direct``: hosts that are asked without."""

    https: WebProxy | None = None
    http: WebProxy | None = None
    direct: tuple[str, ...] = field(default=LOOPBACK)

    def proxy_for(self, url: str) -> WebProxy | None:
        """By the address alone: a name is not looked up here. Raises ValueError for a URL that cannot be read."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        chosen = self.https if parts.scheme == "https" else self.http
        return None if chosen is None or is_direct(host, port, self.direct) else chosen


def parse_web_proxy(text: str) -> WebProxy:
    """``[http://][user:password@]host[:port]``. Raises ValueError with a sentence that never repeats the text."""
    scheme, separator, rest = text.strip().rstrip("/").rpartition("://")
    scheme = scheme.lower() if separator else "http"
    if scheme.startswith("socks"):
        raise ValueError(say("is a SOCKS proxy; only HTTP proxies can be used"))
    login, at, place = rest.rpartition("@")
    host, port = _host_and_port(place)
    usable = scheme in ("http", "https") and _HOST.fullmatch(host) and port is not None
    if not usable or (at and not _LOGIN.fullmatch(login)) or re.search(r"[/?#]", login):
        raise ValueError(say("is not the address of an HTTP proxy, such as http://proxy.example:3128"))
    return WebProxy(f"{scheme}://{host}:{port}", Secret(login) if login else None)


def _host_and_port(place: str) -> tuple[str, int | None]:
    host, colon, digits = place.rpartition(":")
    if not colon or place.endswith("]"):
        return place, 80
    return host, whole(digits, 1, 65535)


def parse_direct(text: str) -> tuple[str, ...]:
    """Names, domains, addresses and networks between commas or spaces. Raises ValueError."""
    entries = tuple(text.replace(",", " ").split())
    if not all(_ENTRY.fullmatch(entry) for entry in entries):
        raise ValueError(say("may contain names, .domains, addresses and networks, with commas between them"))
    return entries


def is_direct(host: str, port: int, entries: Iterable[str]) -> bool:
    """Whether ``host`` is asked without an HTTP proxy: this machine, and what an entry names.

    An entry is ``*``, a name (also for names below it), ``.domain``, ``*.domain``, an address or a network; ``:port`` limits it.
    """
    host = host.lower().rstrip(".")
    if is_loopback(host):
        return True
    try:
        address = parse_address(host)
    except ValueError:
        address = None
    return any(_covers(entry.lower(), host, address, port) for entry in entries)


def covers_address(address: str, entries: Iterable[str]) -> bool:
    """Whether an entry that is an address or a network contains this one. Port limits are not considered."""
    parsed = parse_address(address)
    return parsed.is_loopback or any(_covers(entry.lower(), address, parsed, None) for entry in entries if entry != "*")


def _covers(
    entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int | None
) -> bool:
    if entry == "*":
        return True
    if address is not None and (network := _network(entry)) is not None:
        return address.version == network.version and address in network
    name, colon, digits = entry.rpartition(":")
    limit = whole(digits, 1, 65535)
    if colon and limit is not None and (name.count(":") == 0 or name.endswith("]")):
        if port is not None and limit != port:
            return False
        entry = name
        if address is not None and (network := _network(entry.strip("[]"))) is not None:
            return address.version == network.version and address in network
    domain = entry.removeprefix("*").strip(".")
    return address is None and bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return parse_network(entry.strip("[]"))
    except ValueError:
        return None
