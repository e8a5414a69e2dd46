"""One HTTP session to one Zabbix that is not redirected and always ends in time. Called by :mod:`runtime.adapters.zabbix.api`.

pyzabbix sends through it. TLS is always verified, no redirect is followed (the token would go along), a ``.netrc`` is not
read (requests would replace the token by it), and an answer is bounded in time and size. Every failure is InventoryUnavailable.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import HTTPError, ProxyError, ReadTimeout, RequestException, SSLError
from urllib3.exceptions import HTTPError as BodyError
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from contracts.bounded import read_json
from contracts.text import joined, say
from runtime.adapters import intermediary
from runtime.adapters.http_deadline import DeadlinePassed, Wire
from runtime.adapters.state.files import ca_problem
from runtime.adapters.web_proxies import WebProxies
from runtime.domain.errors import InventoryUnavailable, in_words

_PIECE = 65_536
_LARGEST = 256 * 1024 * 1024  # bytes of one answer; 10,000 hosts take about 6 million
_CONNECT_S = 10.0
_PATIENCE = 10  # an answer that keeps coming may take this many times the time that silence may

# Only what surely did nothing yet, or what a gateway says for a server that restarts. Silence is not asked again: a busy
# Zabbix would work on both.
_RETRY = Retry(
    total=2,
    read=False,
    other=0,
    redirect=0,
    backoff_factor=0.3,
    status_forcelist=(502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
    respect_retry_after_header=False,
)


class _Answer(requests.Response):
    """One whose JSON is read within bounds: pyzabbix asks the answer itself for it."""

    def json(self, **_: Any) -> Any:
        return read_json(self.content, limit=_LARGEST)


class BoundedSession(requests.Session):
    """``silence``: seconds without a byte; ``within``: seconds for all of the session, where the caller has no more;
    ``where``: the address as it may be shown; ``web_proxies``: through which it may go."""

    def __init__(
        self,
        url: str,
        *,
        ca_path: str | None,
        silence: float,
        within: float | None = None,
        web_proxies: WebProxies | None = None,
    ) -> None:
        super().__init__()
        self._end = None if within is None else time.monotonic() + within
        self._wire = Wire()
        self.where, self.silence = shown(url), silence
        self.trust_env = False
        self._url, self._web_proxies = url, web_proxies
        self.verify = ca_path or True
        self.stream = True
        self._wire.mount(self, _RETRY)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """The whole answer. Raises InventoryUnavailable, or what :func:`translated` makes of it."""
        limit = _PATIENCE * self.silence
        left = limit if self._end is None else max(0.0, self._end - time.monotonic())
        try:
            return self._wire.within(min(limit, left), lambda: self._whole(request, kwargs))
        except DeadlinePassed:
            raise too_slow(self.where, limit, left if left < limit else None) from None

    @cached_property
    def _through(self) -> Mapping[str, str]:
        """The HTTP proxy for this Zabbix, as requests has it. It may look up a name. Raises InventoryUnavailable."""
        try:
            return {} if self._web_proxies is None else self._web_proxies.for_requests(self._url)
        except ValueError as error:
            raise InventoryUnavailable(
                "zabbix_unreachable", str(error), say("correct it in the environment of this proxy")
            ) from None

    def close(self) -> None:
        super().close()
        self._wire.close()

    def _whole(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        timeout = min(_CONNECT_S, self.silence), self.silence
        response = super().send(request, **{**kwargs, "timeout": timeout, "proxies": self._through})
        with contextlib.closing(response.raw) as raw:
            if response.is_redirect:
                location = response.headers["location"]
                if sign_in := intermediary.sign_in_redirect(self.where, location):
                    raise intercepted(self.where, sign_in)
                raise InventoryUnavailable(
                    "zabbix_redirect",
                    say("{address} sends us on to {other}", address=self.where, other=shown(location)),
                    say(
                        "set inventory.url to the address that answers in the end; a redirect would take the token along"
                    ),
                )
            body = self._body(raw)
        kind = response.headers.get("content-type", "")
        status, page = response.status_code, intermediary.page(response.status_code, kind, body)
        if page is not None:
            # A page of the frontend itself with 200: the address is wrong, and nobody stands between.
            if page.between and (status >= 400 or b"zabbix" not in body[:_PIECE].lower()):
                raise intercepted(self.where, page.what)
            if status >= 400:
                raise _status(status, self.where, page.unclear)
        answer = _Answer()
        answer.__dict__.update(response.__dict__)
        answer.raw, answer.encoding = io.BytesIO(body), "utf-8"
        return answer

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: nothing is followed, or even parsed."""

    def _body(self, raw: Any) -> bytes:
        body = bytearray()
        while piece := raw.read1(_PIECE, decode_content=True):
            body += piece
            if len(body) > _LARGEST:
                raise InventoryUnavailable(
                    "zabbix_bad_answer",
                    say("{address} answered more than {bytes} bytes", address=self.where, bytes=_LARGEST),
                    say("check inventory.url"),
                )
        return bytes(body)


def shown(url: str) -> str:
    """A URL without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return say("an address that cannot be read")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path


def too_slow(where: str, seconds: float, left: float | None = None) -> InventoryUnavailable:
    """``left``: what the caller had, where that was less than the ``seconds`` of the configuration."""
    if left is not None:
        text = say(
            "{address} did not answer within {seconds} s, all the time that was left for it",
            address=where,
            seconds=f"{left:.1f}",
        )
        return InventoryUnavailable("zabbix_timeout", text, say("check the load of Zabbix's frontend and database"))
    return InventoryUnavailable(
        "zabbix_timeout",
        say("{address} did not answer within {seconds} s", address=where, seconds=f"{seconds:g}"),
        say(
            "check the load of Zabbix's frontend and database; raise inventory.timeout where the network is that large"
        ),
    )


@contextlib.contextmanager
def translated(where: str, silence: float) -> Iterator[None]:
    """Turn what requests and urllib3 say into InventoryUnavailable, with what to do about it."""
    try:
        yield
    except (RequestException, BodyError, HTTPException) as error:
        raise _explained(error, where, silence) from None


def _explained(error: Exception, where: str, silence: float) -> InventoryUnavailable:
    cause = _innermost(error)
    if tunnel := intermediary.refused_tunnel(str(cause)):
        return intercepted(where, tunnel)
    match error:
        case SSLError():
            return InventoryUnavailable(
                "zabbix_tls",
                joined((where, in_words(error)), ": "),
                say(
                    "set inventory.ca_path to the CA that signed its certificate (or to that of a firewall which opens TLS "
                    "on the way), and use a name that the certificate carries; there is no way to switch verification off"
                ),
            )
        case ReadTimeout() | ReadTimeoutError():
            return too_slow(where, silence)
        case HTTPError():
            return _status(error.response.status_code, where)
        case ProxyError():
            text: str = intermediary.unreachable_proxy(where, in_words(error))
            advice = intermediary.PROXY_ADVICE
        case ConnectionFailed() | BodyError() | HTTPException():
            text = joined((where, in_words(error)), ": ")
            advice = say(
                "check that Zabbix's frontend runs and that this host reaches it; `flageemonitor-run doctor` tells more"
            )
        case _:
            text, advice = joined((where, in_words(error)), ": "), say("check inventory.url")
    return InventoryUnavailable("zabbix_unreachable", text, advice)


def _status(status: int, where: str, page: str = "") -> InventoryUnavailable:
    """``page``: what came with it, as in: a page titled ..."""
    if status == 404:
        return not_zabbix(
            where, say("it answered HTTP 404 with {page}", page=page) if page else say("it answered HTTP 404")
        )
    if status in (401, 403):
        advice = say("something before Zabbix asks for a login of its own: let the API through")
    elif status == 429:
        advice = say("something before Zabbix limits how often it is asked: raise the limit for this host")
    else:
        advice = say("look into the log of Zabbix's web server and PHP (memory_limit, max_execution_time)")
    if page:
        text = say("{address} answered HTTP {status} with {page}", address=where, status=status, page=page)
    else:
        text = say("{address} answered HTTP {status}", address=where, status=status)
    return InventoryUnavailable("zabbix_http_error", text, advice)


def not_zabbix(where: str, why: str) -> InventoryUnavailable:
    return InventoryUnavailable(
        "not_zabbix",
        say("{address} does not answer like Zabbix's API: {why}", address=where, why=why),
        say("set inventory.url to the frontend's base address, or to its api_jsonrpc.php"),
    )


def intercepted(where: str, what: str) -> InventoryUnavailable:
    return InventoryUnavailable(
        "zabbix_intercepted",
        intermediary.sentence(what, where, "Zabbix"),
        say(
            "{advice}; or inventory.url names a server that is not Zabbix",
            advice=intermediary.LOGIN_ADVICE if "407" in what else intermediary.ADVICE,
        ),
    )


def check(url: str, ca_path: str | None) -> None:
    """Raises InventoryUnavailable for what requests would answer with a bare ValueError or OSError."""
    try:
        urlsplit(url)
    except ValueError as error:
        raise InventoryUnavailable(
            "zabbix_bad_url",
            say("inventory.url cannot be read: {why}", why=str(error)),
            say("write it as https://zabbix.example/zabbix"),
        ) from None
    if ca_path is not None and (problem := ca_problem(Path(ca_path))):
        raise InventoryUnavailable(
            "zabbix_ca",
            say("inventory.ca_path {path} cannot be read: {why}", path=ca_path, why=problem),
            say("put the CA bundle there, readable for this user"),
        )


def _innermost(error: BaseException) -> BaseException:
    """The cause below all wrappers: "Connection refused" instead of all that the pool says."""
    while below := error.__cause__ or error.__context__:
        error = below
    return error
