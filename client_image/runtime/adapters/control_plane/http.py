"""Asks the control plane by HTTP. It blocks, for at most its time limits, and never raises for what the other side does.

The :class:`~runtime.adapters.control_plane.transport.Transport` that wiring builds.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3.util import Retry

from contracts.address import is_loopback
from contracts.bounded import MAX_BYTES, read_json, whole
from contracts.secret import Secret
from contracts.text import say
from runtime.adapters import intermediary
from runtime.adapters.control_plane.transport import (
    Answer,
    Fetched,
    Intercepted,
    Login,
    NotModified,
    RequestRefused,
    Unavailable,
)
from runtime.adapters.http_deadline import DeadlinePassed, Wire
from runtime.adapters.state.files import ca_problem, read_plain
from runtime.adapters.web_proxies import WebProxies
from runtime.domain.errors import in_words

_PIECE = 65536
_ERROR_BYTES = 65536
_OWN_WORDS = (b"network", b"schema_version", b"PARAM_")  # one of them is in every document
_TOKEN_BYTES = 65536
_CHANNEL_WORDS = (b'"received"', b'"interval_s"')  # one of them is in every answer of the channel
_HEALTH_S = 30.0
_GOOD = (200, 201)


_REFUSAL_ADVICE = {
    400: say("name the network in FLAGEEMONITOR_REDE: the token serves several, or none of that name"),
    401: say(
        "the token is unknown, expired or revoked: install again with a new line of `flagee-server install-command`"
    ),
    403: say("the token is not for this network or not for reading a configuration: see `flagee-server token list`"),
}


@dataclass(frozen=True, slots=True)
class HttpControlPlane:
    """Address and identity. ``url``: of what is asked; the configuration's, where nothing else is said. ``base``: what the paths
    of the channel are below. ``network``: asked with ?rede= when given.

    ``token_file`` is preferred to ``token``. ``insecure`` allows plain http beyond loopback. Time limits in seconds: to connect,
    between two pieces of an answer, and for all of a call from looking up the name to the last byte.
    """

    url: str
    network: str = ""
    token_file: Path | None = None
    token: Secret | None = None
    ca_path: str = ""
    insecure: bool = False
    web_proxies: WebProxies = field(default_factory=WebProxies)
    base: str = ""
    user_agent: str = "flageemonitor-proxy"
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    total_timeout: float = 120.0

    def fetch_config(
        self, etag: str | None, *, correlation_id: str, now: dt.datetime, within: float | None = None
    ) -> Answer:
        """One conditional GET. Never follows a redirect: the token would travel to the host that the answer names.

        ``within``: seconds, where the caller has less time than ``total_timeout``.
        """
        problem = _address_problem(self.url, insecure=self.insecure) or self._ca_problem()
        known = etag if etag and etag.isascii() and etag.isprintable() else None  # its file may have been edited
        login = self.login()
        if problem or login.token is None:
            return Unavailable(problem or login.problem)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # so that Content-Length tells a cut body, and no answer grows when unpacked
            "User-Agent": self.user_agent,
            "X-Bot-Token": login.token.reveal(),
            "x-correlation-id": correlation_id,
            **({"If-None-Match": known} if known else {}),
        }
        params = {"rede": self.network} if self.network else None

        def get(session: requests.Session) -> Answer:
            return self._send(session, "GET", headers, now, params=params, asked=known is not None)

        return self._call(get, self.total_timeout if within is None else min(within, self.total_timeout))

    def health(self, *, correlation_id: str, now: dt.datetime) -> Answer:
        """GET of ``url``, the health address, without a token: whether the way to the control plane works from here."""
        if problem := _address_problem(self.url, insecure=self.insecure) or self._ca_problem():
            return Unavailable(problem)
        headers = {"Accept": "application/json", "User-Agent": self.user_agent, "x-correlation-id": correlation_id}
        return self._call(lambda session: self._send(session, "GET", headers, now, words=(b"status",)), _HEALTH_S)

    def enrol(self, token: Secret, agent_id: str, hostname: str, *, correlation_id: str, now: dt.datetime) -> Answer:
        """POST to ``url``, the enrolment's address, with a one-time token. The body that is fetched has the agent's own token."""
        if problem := _address_problem(self.url, insecure=self.insecure) or self._ca_problem():
            return Unavailable(problem)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": self.user_agent,
            "X-Bot-Token": token.reveal(),
            "x-correlation-id": correlation_id,
        }
        params = {"rede": self.network} if self.network else None
        body = {"agent_id": agent_id, "hostname": hostname}

        def post(session: requests.Session) -> Answer:
            return self._send(session, "POST", headers, now, params=params, json=body, words=(b"token",))

        return self._call(post, self.total_timeout)

    def post(
        self,
        path: str,
        body: bytes,
        *,
        gzipped: bool,
        correlation_id: str,
        now: dt.datetime,
        within: float | None = None,
    ) -> Answer:
        """POST of JSON to a path of the channel. Never follows a redirect."""
        there = dataclasses.replace(self, url=f"{self.base}{path}" if self.base else "")
        problem = _address_problem(there.url, insecure=self.insecure) or self._ca_problem()
        login = self.login()
        if problem or login.token is None:
            return Unavailable(problem or login.problem)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            "X-Bot-Token": login.token.reveal(),
            "x-correlation-id": correlation_id,
            **({"Content-Encoding": "gzip"} if gzipped else {}),
        }

        def send(session: requests.Session) -> Answer:
            return there._send(session, "POST", headers, now, data=body, words=_CHANNEL_WORDS)

        return there._call(send, self.total_timeout if within is None else min(within, self.total_timeout))

    def _call(self, send: Callable[[requests.Session], Answer], limit: float) -> Answer:
        """What ``send`` comes to within ``limit`` seconds. Never raises for what the other side does."""
        try:
            with Wire() as wire, _session(wire) as session:
                return wire.within(limit, lambda: send(session))
        except DeadlinePassed as late:
            host, waited = urlsplit(self.url).netloc, f"{late.seconds:g}"
            if not late.connected:
                return Unavailable(say("{host} did not answer in time (waited {seconds} s)", host=host, seconds=waited))
            return Unavailable(
                say("{host} did not complete its answer in time (waited {seconds} s)", host=host, seconds=waited)
            )
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
            ValueError,
            RuntimeError,
        ) as error:
            if tunnel := intermediary.refused_tunnel(str(_innermost(error))):
                return self._intercepted(tunnel, 407 if "407" in tunnel else None)
            return Unavailable(_network_reason(error, self.url))

    def _send(
        self,
        session: requests.Session,
        method: str,
        headers: dict[str, str],
        now: dt.datetime,
        *,
        asked: bool = False,
        words: Collection[bytes] = _OWN_WORDS,
        **more: Any,
    ) -> Answer:
        response = session.request(
            method,
            self.url,
            headers=headers,
            auth=_no_auth,
            proxies=self.web_proxies.for_requests(self.url),  # here, because it may look up a name: within the deadline
            timeout=(self.connect_timeout, self.read_timeout),
            verify=self.ca_path or True,
            allow_redirects=False,
            stream=True,
            **more,
        )
        with response:
            return self._answer(response, asked=asked, now=now, words=words)

    def advice(self, answer: Answer | None = None) -> str:
        """What to do about an answer that was no configuration; None asks about what came before any answer."""
        if _address_problem(self.url, insecure=self.insecure):
            return say("correct it in the environment of this proxy (on the host: /etc/<runtime>/flageemonitor.env)")
        if self.login().token is None:
            place = self.token_file or "FLAGEEMONITOR_TOKEN"
            return say(
                "put the token there that the control plane issued, readable for uid {uid} alone: {place}",
                uid=os.geteuid(),
                place=place,
            )
        return _answer_advice(answer, self.url)

    def login(self) -> Login:
        """The token to use now, or why there is none."""
        if self.token_file is None:
            return _checked(self.token.reveal() if self.token else "", "FLAGEEMONITOR_TOKEN")
        try:
            text = read_plain(self.token_file, _TOKEN_BYTES).decode("utf-8-sig")
            shared = stat.S_IMODE(self.token_file.stat().st_mode) & 0o077
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else say("not UTF-8")
            return Login(None, say("the token file {file} cannot be read: {why}", file=self.token_file, why=why))
        warning = say("{file} may be read by others: chmod 400 it", file=self.token_file) if shared else ""
        return _checked(text, str(self.token_file), warning)

    def _ca_problem(self) -> str:
        problem = ca_problem(Path(self.ca_path)) if self.ca_path else ""
        if not problem:
            return ""
        return say("FLAGEEMONITOR_CA_PATH {path} cannot be read: {why}", path=self.ca_path, why=problem)

    def _answer(
        self, response: requests.Response, *, asked: bool, now: dt.datetime, words: Collection[bytes]
    ) -> Answer:
        status = response.status_code
        if status == 304 and asked:
            return NotModified(_server_time(response))
        if 300 <= status < 400 and status != 304:
            return self._redirect(status, response.headers.get("Location", ""))
        body = _read(response, MAX_BYTES if status in _GOOD else _ERROR_BYTES)
        kind = response.headers.get("Content-Type", "")
        page = intermediary.page(status, kind, body if isinstance(body, bytes) else b"")
        if page is not None and page.between:
            return self._intercepted(page.what, status)
        if status in _GOOD and isinstance(body, bytes) and (other := intermediary.other_service(kind, body, words)):
            return self._intercepted(other, status)
        return _judged(response, body, now, page)

    def _redirect(self, status: int, location: str) -> Answer:
        if sign_in := intermediary.sign_in_redirect(self.url, location):
            return self._intercepted(sign_in, status)
        text = say("redirects to {place}; give the final address in FLAGEEMONITOR_CONFIG_URL", place=_place(location))
        return RequestRefused(status, text)

    def _intercepted(self, what: str, status: int | None = None) -> Intercepted:
        return Intercepted(intermediary.sentence(what, urlsplit(self.url).netloc, say("the control plane")), status)


def _answer_advice(answer: Answer | None, url: str) -> str:
    match answer:
        case Intercepted(status=407):
            return intermediary.LOGIN_ADVICE
        case Intercepted():
            return intermediary.ADVICE
        case RequestRefused(page=True, status=401 | 403):
            return say(
                "the web server, or something before it, asks for a login of its own or bars this host: let {url} through",
                url=url,
            )
        case RequestRefused():
            return _REFUSAL_ADVICE.get(answer.status) or say("check the address: {url}", url=url)
        case Unavailable(status=int(status)) if status >= 500:
            return say("look into the logs of the control plane and of its web server; the address is {url}", url=url)
    return say("check {url} from this machine: name, route, firewall, certificate authority", url=url)


def parse_retry_after(text: str | None, now: dt.datetime) -> float | None:
    """Seconds from either form of the header (RFC 9110); None when it is absent or makes no sense."""
    if not text:
        return None
    seconds = whole(text.strip()[:12])  # more digits than that are the same to us: longer than we ever wait
    if seconds is not None:
        return 1.0 * seconds
    try:
        instant = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    return max(0.0, (instant - now).total_seconds())


def _server_time(response: requests.Response) -> dt.datetime | None:
    """The server's clock by its Date header; None without one, and for an answer that a cache kept for a while."""
    text = response.headers.get("Date")
    if not text or "Age" in response.headers:
        return None
    try:
        instant = email.utils.parsedate_to_datetime(text)
        return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def _address_problem(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return say("the address of the control plane makes no sense: {why}", why=str(error))
    if not url:
        return say("no address of a control plane is known: set FLAGEEMONITOR_API_BASE")
    if parts.scheme not in ("http", "https") or not host:
        return say("the address of the control plane must begin with https://: {url}", url=url)
    if parts.username or parts.password:
        return say("the address of the control plane must not carry a password; give the token in its file")
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        return say(
            "plain http would show the token to everybody on the way: use https, or FLAGEEMONITOR_INSECURE=plain-http"
        )
    return ""


def _judged(response: requests.Response, body: bytes | str, now: dt.datetime, page: intermediary.Page | None) -> Answer:
    """An answer of the control plane's own, or of its web server. ``body``: as :func:`_read` returns it."""
    status = response.status_code
    if status in _GOOD:
        if isinstance(body, str):
            return Unavailable(body, status)
        return Fetched(body, response.headers.get("ETag"), _server_time(response))
    retry_after = parse_retry_after(response.headers.get("Retry-After"), now)
    if page is not None:
        detail: str = say("answered HTTP {status} with {page}", status=status, page=page.unclear)
    else:
        detail = _problem_detail(body) or intermediary.shown(response.reason or "", 100) or say("no reason given")
    if 400 <= status < 500 and status not in (408, 425, 429):
        return RequestRefused(status, detail, retry_after, page=page is not None)
    if page is None:
        detail = say("answered {status}: {detail}", status=status, detail=detail)
    return Unavailable(detail, status, retry_after)


def _place(location: str) -> str:
    try:
        return intermediary.shown(urlsplit(location).netloc.rpartition("@")[2], 100) or say("another path")
    except ValueError:
        return say("an address that cannot be read")


def _session(wire: Wire) -> requests.Session:
    session = requests.Session()
    # Only what never reached the server is tried again here; every answer goes to the policy in next_pause.
    retry = Retry(2, connect=2, read=False, status=0, other=0, backoff_factor=0.5, respect_retry_after_header=False)
    wire.mount(session, retry)
    session.trust_env = False
    return session


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without this, requests would look for a login in the user's .netrc."""
    return request


def _checked(text: str, source: str, warning: str = "") -> Login:
    token = text.strip()
    if not token:
        return Login(None, say("there is no token in {source}", source=source))
    if not token.isascii() or not token.isprintable() or " " in token:
        text = say(
            "{source} does not hold a token: it has spaces, line ends or letters that no token has", source=source
        )
        return Login(None, text)
    return Login(Secret(token), warning=warning)


def _read(response: requests.Response, limit: int) -> bytes | str:
    """The whole body, or a sentence on what is wrong with it."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        return say("the answer is packed as {encoding}, which was not asked for", encoding=encoding)
    announced = whole(response.headers.get("Content-Length"))
    if announced is not None and announced > limit:
        return say("the answer has {bytes} bytes; at most {limit} are read", bytes=announced, limit=limit)
    pieces, size = [], 0
    while piece := response.raw.read1(_PIECE, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return say("the answer has more than the {limit} bytes that are read", limit=limit)
    if announced is not None and size != announced:
        return say("the answer was cut after {size} of {bytes} bytes", size=size, bytes=announced)
    return b"".join(pieces) or say("the answer is empty")


def _problem_detail(body: bytes | str) -> str:
    """What problem+json has to say, in one short line; empty for anything else."""
    if isinstance(body, str):
        return ""
    try:
        problem: Any = read_json(body)
        text = str(problem.get("detail") or problem.get("title") or "")
        if networks := problem.get("networks"):
            text += f" ({', '.join(map(str, networks))})"
    except (ValueError, AttributeError, TypeError):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:300]).split())


def _network_reason(error: Exception, url: str) -> str:
    """One sentence without the chain of wrappers that the libraries put around the cause."""
    host = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.SSLError):
        return say(
            "the certificate of {host} is not trusted: {why}; a private CA, or the one of a firewall "
            "that opens TLS on the way, goes into FLAGEEMONITOR_CA_PATH",
            host=host,
            why=in_words(error),
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return intermediary.unreachable_proxy(host, in_words(error))
    if isinstance(_innermost(error), TimeoutError):
        return say("{host} did not answer in time", host=host)
    return say("{host} could not be reached, or broke off: {why}", host=host, why=in_words(error))


def _innermost(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
