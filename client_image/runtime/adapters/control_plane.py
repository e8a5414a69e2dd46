"""Fetches the configuration from the control plane, and refreshes the store with it. It never raises for what the
other side does.

Called by the daemon every ``refresh_interval`` (in a thread: it blocks) and by `update-config`. Whatever happens, the last valid
document stays in force.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import ipaddress
import os
import stat
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, assert_never
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3.util import Retry

from contracts.bounded import MAX_BYTES, read_json, whole
from contracts.document import DocumentError, read_document
from contracts.ids import uuid7
from contracts.secret import Secret
from runtime.adapters import intermediary
from runtime.adapters.config_store import ConfigStore, StoredConfig
from runtime.adapters.http_deadline import DeadlinePassed, Wire
from runtime.adapters.state.files import ca_problem, read_plain
from runtime.domain.errors import NoConfiguration, in_words
from runtime.domain.ports import Clock

MIN_PAUSE_S = 30.0
MAX_PAUSE_S = 3600.0
_PIECE = 65536
_ERROR_BYTES = 65536
_OWN_WORDS = (b"network", b"schema_version", b"PARAM_")  # one of them is in every document
_TOKEN_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer; not yet known to be valid. ``told``: the server's own time, where it said so."""

    raw: bytes
    etag: str | None
    told: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class NotModified:
    """What we have is current. ``told`` as in Fetched."""

    told: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The control plane answered and said no. ``retry_after``: seconds it asked us to stay away; ``page``: it was a web page,
    which is never the control plane's own answer, at best its web server's."""

    status: int
    reason: str
    retry_after: float | None = None
    page: bool = False

    @property
    def text(self) -> str:
        return self.reason if self.page else f"refused ({self.status}): {self.reason}"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No usable answer: network, time limit, a cut body, or something of ours is missing. ``status`` where there was one."""

    reason: str
    status: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Intercepted:
    """Something else answered instead of the control plane. ``status``: of its answer, where it came as one."""

    reason: str
    status: int | None = None


Answer = Fetched | NotModified | Refused | Unavailable | Intercepted

_REFUSAL_ADVICE = {
    400: "name the network in FLAGEEMONITOR_REDE: the token serves several, or none of that name",
    401: "the token is unknown, expired or revoked: install again with a new line of `flagee-server install-command`",
    403: "the token is not for this network or not for reading a configuration: see `flagee-server token list`",
}


@dataclass(frozen=True, slots=True)
class Login:
    """The token, read anew for each request so that a rotated one works at once; ``warning`` when others may read its file."""

    token: Secret | None
    problem: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Address and identity. ``url``: of the configuration itself. ``network``: asked with ?rede= when given.

    ``token_file`` is preferred to ``token``. ``insecure`` allows plain http beyond loopback. Time limits in seconds: to connect,
    between two pieces of an answer, and for all of a call from looking up the name to the last byte.
    """

    url: str
    network: str = ""
    token_file: Path | None = None
    token: Secret | None = None
    ca_path: str = ""
    insecure: bool = False
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
        limit = self.total_timeout if within is None else min(within, self.total_timeout)
        try:
            with Wire() as wire, _session(self.url, wire) as session:
                return wire.within(limit, lambda: self._get(session, headers, asked=known is not None, now=now))
        except DeadlinePassed as late:
            how = "did not complete its answer in time" if late.connected else "did not answer in time"
            return Unavailable(f"{urlsplit(self.url).netloc} {how} (waited {late.seconds:g} s)")
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
            ValueError,
            RuntimeError,
        ) as error:
            if tunnel := intermediary.refused_tunnel(str(_innermost(error))):
                return self._intercepted(tunnel)
            return Unavailable(_network_reason(error, self.url))

    def _get(self, session: requests.Session, headers: dict[str, str], *, asked: bool, now: dt.datetime) -> Answer:
        response = session.get(
            self.url,
            params={"rede": self.network} if self.network else None,
            headers=headers,
            auth=_no_auth,
            timeout=(self.connect_timeout, self.read_timeout),
            verify=self.ca_path or True,
            allow_redirects=False,
            stream=True,
        )
        with response:
            return self._answer(response, asked=asked, now=now)

    def advice(self, answer: Answer | None = None) -> str:
        """What to do about an answer that was no configuration; None asks about what came before any answer."""
        if _address_problem(self.url, insecure=self.insecure):
            return "correct it in the environment of this proxy (on the host: /etc/<runtime>/flageemonitor.env)"
        if self.login().token is None:
            place = self.token_file or "FLAGEEMONITOR_TOKEN"
            return f"put the token there that the control plane issued, readable for uid {os.geteuid()} alone: {place}"
        return _answer_advice(answer, self.url)

    def login(self) -> Login:
        """The token to use now, or why there is none."""
        if self.token_file is None:
            return _checked(self.token.reveal() if self.token else "", "FLAGEEMONITOR_TOKEN")
        try:
            text = read_plain(self.token_file, _TOKEN_BYTES).decode("utf-8-sig")
            shared = stat.S_IMODE(self.token_file.stat().st_mode) & 0o077
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            return Login(None, f"the token file {self.token_file} cannot be read: {why}")
        warning = f"{self.token_file} may be read by others: chmod 400 it" if shared else ""
        return _checked(text, str(self.token_file), warning)

    def _ca_problem(self) -> str:
        problem = ca_problem(Path(self.ca_path)) if self.ca_path else ""
        return f"FLAGEEMONITOR_CA_PATH {self.ca_path} cannot be read: {problem}" if problem else ""

    def _answer(self, response: requests.Response, *, asked: bool, now: dt.datetime) -> Answer:
        status = response.status_code
        if status == 304 and asked:
            return NotModified(_server_time(response))
        if 300 <= status < 400 and status != 304:
            return self._redirect(status, response.headers.get("Location", ""))
        body = _read(response, MAX_BYTES if status == 200 else _ERROR_BYTES)
        kind = response.headers.get("Content-Type", "")
        page = intermediary.page(status, kind, body if isinstance(body, bytes) else b"")
        if page is not None and page.between:
            return self._intercepted(page.what, status)
        if status == 200 and isinstance(body, bytes) and (other := intermediary.other_service(kind, body, _OWN_WORDS)):
            return self._intercepted(other, status)
        return _judged(response, body, now, page)

    def _redirect(self, status: int, location: str) -> Answer:
        if sign_in := intermediary.sign_in_redirect(self.url, location):
            return self._intercepted(sign_in, status)
        return Refused(status, f"redirects to {_place(location)}; give the final address in FLAGEEMONITOR_CONFIG_URL")

    def _intercepted(self, what: str, status: int | None = None) -> Intercepted:
        return Intercepted(intermediary.sentence(what, urlsplit(self.url).netloc, "the control plane"), status)


def _answer_advice(answer: Answer | None, url: str) -> str:
    match answer:
        case Intercepted():
            return intermediary.ADVICE
        case Refused(page=True, status=401 | 403):
            return f"the web server, or something before it, asks for a login of its own or bars this host: let {url} through"
        case Refused():
            return _REFUSAL_ADVICE.get(answer.status, f"check the address: {url}")
        case Unavailable(status=int(status)) if status >= 500:
            return f"look into the logs of the control plane and of its web server; the address is {url}"
    return f"check {url} from this machine: name, route, firewall, certificate authority"


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh came to, for people, status and metrics.

    ``reason``: updated, unchanged, ``invalid:<reason of the document>``, refused, unavailable, intercepted
    (something else answered), or not_stored (the disk). ``age``:
    seconds since the control plane last called the configuration in force current; None when that is not known or there is none.
    ``told``: the control plane's own time in the answer.
    """

    reason: str
    message: str
    at: dt.datetime
    correlation_id: str
    changed: bool = False
    in_force: bool = False
    etag: str | None = None
    age: float | None = None
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""
    warnings: tuple[str, ...] = field(default=())
    told: dt.datetime | None = None

    @property
    def current(self) -> bool:
        """The control plane answered, and what it serves is in force here."""
        return self.reason in ("updated", "unchanged")


def refresh(store: ConfigStore, plane: ControlPlane, clock: Clock) -> RefreshResult:
    """Ask, check, and only then replace. Blocks for at most the plane's time limits."""
    try:
        before: StoredConfig | None = store.load()
    except NoConfiguration:
        before = None
    now = clock.now()
    correlation = uuid7()
    answer = plane.fetch_config(before.etag if before else None, correlation_id=correlation, now=now)
    reason, message, after = _take(store, plane, answer, before, now)
    warnings = tuple(text for text in (plane.login().warning, *(after.warnings if after else ())) if text)
    checked = after.checked_at if after else None
    return RefreshResult(
        reason=reason,
        message=message,
        at=now,
        correlation_id=correlation,
        changed=reason == "updated",
        in_force=after is not None,
        etag=after.etag if after else None,
        age=max(0.0, (now - checked).total_seconds()) if checked else None,
        status=getattr(answer, "status", None),
        retry_after=getattr(answer, "retry_after", None),
        advice=_advice(reason, plane, answer),
        warnings=warnings,
        told=getattr(answer, "told", None),
    )


def _advice(reason: str, plane: ControlPlane, answer: Answer) -> str:
    if reason.startswith("invalid:"):
        return "correct it on the control plane: `flagee-server config validate` shows each place, then `config set`"
    if reason == "not_stored":
        return "free or mend the disk of that folder; `flageemonitor-run doctor` tells more"
    return plane.advice(answer) if reason in ("refused", "unavailable", "intercepted") else ""


def next_pause(result: RefreshResult, *, interval: float, failures: int, spread: float) -> float:
    """Seconds until the next refresh. ``failures``: in a row, this one included; ``spread``: from 0 to below 1, drawn at random.

    A refusing server is left alone for at least MIN_PAUSE_S, longer if it says so (up to MAX_PAUSE_S: a mistyped Retry-After
    must not silence a proxy for a year). One that is away is tried again soon, then ever more slowly up to the interval.
    """
    pause = max(interval, MIN_PAUSE_S)
    if result.current:
        pause = interval
    elif result.reason in ("unavailable", "intercepted"):
        pause = min(pause, MIN_PAUSE_S * 2.0 ** min(failures - 1, 20))
    pause = max(pause, min(result.retry_after or 0.0, MAX_PAUSE_S))
    return pause * (1 + spread / 10)  # thousands of proxies that lost the same server must not come back in one second


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


def _take(
    store: ConfigStore, plane: ControlPlane, answer: Answer, before: StoredConfig | None, now: dt.datetime
) -> tuple[str, str, StoredConfig | None]:
    """Reason, sentence, and what is in force afterwards."""
    match answer:
        case NotModified():
            try:
                if before is not None:
                    store.confirm(before, now)
                return "unchanged", "the configuration is current", store.load()
            except OSError as error:
                return "unchanged", f"the configuration is current; its time could not be stored: {error}", before
        case Refused():
            whose = "the control plane's address" if answer.page else "the control plane"
            return "refused", f"{whose} {answer.text}", before
        case Unavailable():
            return "unavailable", answer.reason, before
        case Intercepted():
            return "intercepted", answer.reason, before
        case Fetched():
            return _replace(store, plane, answer, before, now)
    assert_never(answer)


def _replace(
    store: ConfigStore, plane: ControlPlane, answer: Fetched, before: StoredConfig | None, now: dt.datetime
) -> tuple[str, str, StoredConfig | None]:
    try:
        document = read_document(answer.raw, strict=False)
    except DocumentError as error:
        return f"invalid:{error.reason}", f"the control plane's answer is not a valid configuration: {error}", before
    if plane.network and document.config.network != plane.network:
        text = f"the answer is for the network {document.config.network}, not for {plane.network}"
        return "invalid:wrong_network", text, before
    try:
        after = store.replace(answer.raw, answer.etag, source=plane.url, now=now)
    except OSError as error:
        return "not_stored", f"a new configuration could not be stored in {store.folder}: {error}", before
    if before is not None and before.document == document:
        return "unchanged", "the configuration is current", after
    return "updated", "a new configuration is in force", after


def _address_problem(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"the address of the control plane makes no sense: {error}"
    if not url:
        return "no address of a control plane is known: set FLAGEEMONITOR_API_BASE"
    if parts.scheme not in ("http", "https") or not host:
        return f"the address of the control plane must begin with https://: {url}"
    if parts.username or parts.password:
        return "the address of the control plane must not carry a password; give the token in its file"
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        return (
            "plain http would show the token to everybody on the way: use https, or FLAGEEMONITOR_INSECURE=plain-http"
        )
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _judged(response: requests.Response, body: bytes | str, now: dt.datetime, page: intermediary.Page | None) -> Answer:
    """An answer of the control plane's own, or of its web server. ``body``: as :func:`_read` returns it."""
    status = response.status_code
    if status == 200:
        if isinstance(body, str):
            return Unavailable(body, status)
        return Fetched(body, response.headers.get("ETag"), _server_time(response))
    retry_after = parse_retry_after(response.headers.get("Retry-After"), now)
    if page is not None:
        detail = f"answered HTTP {status} with {page.unclear}"
    else:
        detail = _problem_detail(body) or intermediary.shown(response.reason or "no reason given", 100)
    if 400 <= status < 500 and status not in (408, 425, 429):
        return Refused(status, detail, retry_after, page=page is not None)
    return Unavailable(detail if page is not None else f"answered {status}: {detail}", status, retry_after)


def _place(location: str) -> str:
    try:
        return intermediary.shown(urlsplit(location).netloc.rpartition("@")[2], 100) or "another path"
    except ValueError:
        return "an address that cannot be read"


def _session(url: str, wire: Wire) -> requests.Session:
    session = requests.Session()
    # Only what never reached the server is tried again here; every answer goes to the policy in next_pause.
    retry = Retry(2, connect=2, read=False, status=0, other=0, backoff_factor=0.5, respect_retry_after_header=False)
    wire.mount(session, retry)
    session.trust_env = not _is_loopback(
        urlsplit(url).hostname or ""
    )  # proxies of the environment, but not to ourselves
    return session


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without this, requests would look for a login in the user's .netrc."""
    return request


def _checked(text: str, source: str, warning: str = "") -> Login:
    token = text.strip()
    if not token:
        return Login(None, f"there is no token in {source}")
    if not token.isascii() or not token.isprintable() or " " in token:
        return Login(None, f"{source} does not hold a token: it has spaces, line ends or letters that no token has")
    return Login(Secret(token), warning=warning)


def _read(response: requests.Response, limit: int) -> bytes | str:
    """The whole body, or a sentence on what is wrong with it."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        return f"the answer is packed as {encoding}, which was not asked for"
    announced = whole(response.headers.get("Content-Length"))
    if announced is not None and announced > limit:
        return f"the answer has {announced} bytes; at most {limit} are read"
    pieces, size = [], 0
    while piece := response.raw.read1(_PIECE, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return f"the answer has more than the {limit} bytes that are read"
    if announced is not None and size != announced:
        return f"the answer was cut after {size} of {announced} bytes"
    return b"".join(pieces) or "the answer is empty"


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
        return (
            f"the certificate of {host} is not trusted: {in_words(error)}; a private CA, or the one of a firewall "
            "that opens TLS on the way, goes into FLAGEEMONITOR_CA_PATH"
        )
    if isinstance(_innermost(error), TimeoutError):
        return f"{host} did not answer in time"
    return f"{host} could not be reached, or broke off: {in_words(error)}"


def _innermost(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
