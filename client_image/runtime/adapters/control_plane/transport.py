"""What a proxy asks its control plane, and what may come back, whatever carries it. :mod:`.http` is the transport that exists."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from contracts.secret import Secret
from contracts.text import say


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
class RequestRefused:
    """The control plane answered and said no. ``retry_after``: seconds it asked us to stay away; ``page``: it was a web page,
    which is never the control plane's own answer, at best its web server's."""

    status: int
    reason: str
    retry_after: float | None = None
    page: bool = False

    @property
    def text(self) -> str:
        return self.reason if self.page else say("refused ({status}): {why}", status=self.status, why=self.reason)


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


Answer = Fetched | NotModified | RequestRefused | Unavailable | Intercepted


@dataclass(frozen=True, slots=True)
class Login:
    """The token, read again for each request so that a rotated one works at once; ``warning`` when others may read its file."""

    token: Secret | None
    problem: str = ""
    warning: str = ""


class Transport(Protocol):
    """A way to the control plane, for one network. ``url``: where the configuration comes from."""

    @property
    def url(self) -> str: ...

    @property
    def network(self) -> str: ...

    def fetch_config(
        self, etag: str | None, *, correlation_id: str, now: dt.datetime, within: float | None = None
    ) -> Answer:
        """The configuration if it is another than ``etag`` names. It never raises for what the other side does."""
        ...

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
        """Send JSON to a path of the channel; Fetched is the answer's body. It never raises for what the other side does."""
        ...

    def advice(self, answer: Answer | None = None) -> str:
        """What to do about an answer that was no configuration; None asks about what came before any answer."""
        ...

    def login(self) -> Login:
        """The token to use now, or why there is none."""
        ...
