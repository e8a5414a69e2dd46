"""Recognises what answers instead of the server that was asked: a sign-in page, a proxy's error page, an empty page. Pure; called
by the control plane's and Zabbix's clients, which both expect JSON.

Judged by type and shape, never by a list of products. Of a page only its title is shown: the rest may hold anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from contracts.bounded import Unreadable, read_json
from contracts.text import Text, say

ADVICE = say(
    "let this host through: an exception for this address in the firewall or the sign-in portal, or the right HTTP proxy "
    "in FLAGEEMONITOR_HTTPS_PROXY; from this host, `curl -v` of the address shows the page"
)
LOGIN_ADVICE = say(
    "the HTTP proxy asks for a login: write FLAGEEMONITOR_HTTPS_PROXY=http://user:password@host:port into the host's environment "
    "file, then run `update-image`"
)
PROXY_ADVICE = say(
    "check that the HTTP proxy runs and that this host reaches it; FLAGEEMONITOR_HTTPS_PROXY in the host's environment file "
    "names it, else the Docker engine's own configuration"
)
_READ = 65_536
_TITLE = re.compile(r"<title[^>]{0,200}>(.{0,400}?)</title", re.IGNORECASE | re.DOTALL)
_FORM = re.compile(r"type\s{0,9}=\s{0,9}[\"']?password", re.IGNORECASE)
_MARKUP = re.compile(r"<(!doctype\s+html|html|head|body|title|meta|script|center|h1|p)\b", re.IGNORECASE)
_SIGN_IN = re.compile(
    r"type\s*=\s*[\"']?password|captive|sign[ -]?in|log[ -]?in|log[ -]?on|hotspot|portal|autentica|entrar|acceder",
    re.IGNORECASE,
)
_BETWEEN = {407: say("a proxy that asks for a login of its own"), 511: say("a network that asks for a sign-in")}
_SIGN_IN_PLACE = re.compile(r"login|logon|signin|sign-in|sso|auth|portal|captive|hotspot", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """``what``: as in: a sign-in page titled "Guests" (HTTP 200, text/html).

    ``between``: only something on the way answers so. An error page does not show that: a web server has pages of its own.
    """

    what: str
    title: str
    between: bool

    @property
    def unclear(self) -> Text:
        if not self.title:
            return say("a page: the server's own web server or something before it")
        return say('a page titled "{title}": the server\'s own web server or something before it', title=self.title)


def page(status: int, content_type: str, body: bytes) -> Page | None:
    """What kind of page the answer is; None when it is no page."""
    text = body[:_READ].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    kind = content_type.partition(";")[0].strip().lower()
    if status not in _BETWEEN and not _is_page(kind, text):
        return None
    form = status != 404 and _FORM.search(text) is not None  # a site's own 404 may hold one too
    if status in _BETWEEN:
        what = _BETWEEN[status]
    elif form or (status < 400 and _SIGN_IN.search(text)):
        what = say("a sign-in page")
    else:
        what = say("an error page") if status >= 400 else say("a web page")
    found = _TITLE.search(text)
    title = shown(html.unescape(found[1]), 80) if found else ""
    if title:
        what = say('{page} titled "{title}"', page=what, title=title)
    if kind:
        what = say("{page} (HTTP {status}, {type})", page=what, status=status, type=shown(kind, 40))
    else:
        what = say("{page} (HTTP {status})", page=what, status=status)
    return Page(what, title, status < 400 or status in _BETWEEN or form)


def other_service(content_type: str, body: bytes, expected: Iterable[bytes]) -> str:
    """What a whole answer is that has none of the words which the server's own always has; empty when it has one, or is cut."""
    if any(word in body for word in expected):
        return ""
    kind = shown(content_type.partition(";")[0].lower(), 40)
    try:
        read_json(body)
    except Unreadable:
        text = bool(kind) and "json" not in kind and body.strip()[:1] != b"{"
        return say("text instead of JSON ({type})", type=kind) if text else ""
    return say("the JSON of another service")


def refused_tunnel(error: str) -> str:
    """What a proxy said to CONNECT, out of the error's text; empty when it is about something else."""
    found = re.search(r"Tunnel connection failed: (\d{3}.*)", error)
    return say("the proxy does not connect ({said})", said=shown(found[1], 80)) if found else ""


def unreachable_proxy(whom: str, why: str) -> Text:
    """``whom``: what was asked through it."""
    return say("the HTTP proxy on the way to {whom} could not be reached, or broke off: {why}", whom=whom, why=why)


def sign_in_redirect(address: str, location: str) -> str:
    """What kind of redirect this is, when it leads to another server's sign-in page; empty otherwise."""
    try:
        here, there = urlsplit(address), urlsplit(location)
        if not there.hostname or there.hostname == here.hostname:
            return ""
    except ValueError:
        return ""
    if not _SIGN_IN_PLACE.search(f"{there.hostname}{there.path}"):
        return ""
    return say("a redirect to a sign-in page at {host}", host=shown(there.hostname, 80))


def _is_page(kind: str, text: str) -> bool:
    if kind in ("text/html", "application/xhtml+xml"):
        return text[:1] not in ("{", "[")
    return text[:1] == "<" and _MARKUP.search(text[:2000]) is not None


def sentence(what: str, server: str, whom: str) -> Text:
    """``server``: the address that was asked; ``whom``: the control plane, Zabbix."""
    return say(
        "Something between this host and {whom} answered for {server}: {what}. Nothing was changed.",
        whom=whom,
        server=server,
        what=what,
    )


def shown(text: str, most: int) -> str:
    """One printable line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]
