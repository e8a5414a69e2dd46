"""Which HTTP proxy a request goes through. Called by the HTTP clients of the control plane and of Zabbix; nothing else uses one.

The addresses are in the environment, as every program has them. A login is in a file of the configuration's folder, which deploy
writes, because what is in a container's environment is shown by `docker inspect`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from contracts.bounded import read_json
from contracts.secret import Secret
from contracts.text import say
from contracts.web_proxy import LOOPBACK, Outbound, WebProxy, covers_address, parse_direct, parse_web_proxy
from runtime.adapters.resolver import Ask, ask_system, resolve
from runtime.adapters.state.files import read_plain

_LOGINS_BYTES = 65536
# Where names of the Internet are only known to the HTTP proxy, looking one up may take very long.
_LOOK_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class WebProxies:
    """``environ``: with HTTPS_PROXY, HTTP_PROXY and NO_PROXY in either case. ``logins``: a file, which need not exist. ``ask``:
    for the addresses of a name."""

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    logins: Path | None = None
    ask: Ask = ask_system

    def chosen(self, url: str) -> WebProxy | None:
        """The HTTP proxy for this address; None to ask without one. It blocks for at most two seconds, to look up the host.

        Raises ValueError, with a sentence that names the variable, for an HTTP proxy whose address cannot be used.
        """
        outbound = self._outbound()
        found = outbound.proxy_for(url)
        if found is None or self._leads_to(urlsplit(url).hostname or "", outbound.direct):
            return None
        return found if found.login else replace(found, login=self._login(found.place))

    def for_requests(self, url: str) -> dict[str, str]:
        """As requests has it. It may contain a password. Raises ValueError."""
        proxy = self.chosen(url)
        return {} if proxy is None else {"http": proxy.with_login(), "https": proxy.with_login()}

    def _outbound(self) -> Outbound:
        https, http = (self._proxy(key) for key in ("HTTPS_PROXY", "HTTP_PROXY"))
        direct: tuple[str, ...] = LOOPBACK
        with contextlib.suppress(ValueError):
            direct += parse_direct(self._value("NO_PROXY"))
        return Outbound(https, http, direct)

    def _proxy(self, key: str) -> WebProxy | None:
        text = self._value(key)
        try:
            return parse_web_proxy(text) if text else None
        except ValueError as error:
            problem = str(error)
        # Outside, because what explains a request's failure looks for the innermost cause, and that does not name the variable.
        raise ValueError(say("{key} {problem}", key=key, problem=problem))

    def _value(self, key: str) -> str:
        return (self.environ.get(key.lower()) or self.environ.get(key) or "").strip()

    def _login(self, place: str) -> Secret | None:
        if self.logins is None:
            return None
        try:
            login = read_json(read_plain(self.logins, _LOGINS_BYTES)).get(place)
        except (OSError, ValueError, AttributeError):
            return None
        return Secret(login) if isinstance(login, str) and login else None

    def _leads_to(self, host: str, direct: tuple[str, ...]) -> bool:
        """Whether a host's name leads to addresses that are all asked without an HTTP proxy: a Zabbix on the local network."""
        addresses = resolve((host,), limit=_LOOK_UP_S, ask=self.ask).addresses.get(host, ())
        return bool(addresses) and all(covers_address(address, direct) for address in addresses)
