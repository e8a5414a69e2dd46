"""Calls of Zabbix's JSON-RPC API with typed answers, by pyzabbix. Called by the Zabbix inventory.

pyzabbix knows where each version takes the token (body before 6.4, bearer header since; 7.2 refuses the body). What it raises
is translated here: an API error comes in an HTTP 200, and must never look like "nothing found" (W-40). Its own ``with``
statement swallows API errors, so it is not used; its debug log holds tokens and passwords, so it is silenced.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pyzabbix.api import ZabbixAPI, ZabbixAPIException

from contracts.bounded import whole
from contracts.config import ZabbixInventory
from contracts.document import problems_of
from contracts.text import joined, say
from runtime.adapters.web_proxies import WebProxies
from runtime.adapters.zabbix.transport import BoundedSession, check, not_zabbix, translated
from runtime.domain.errors import InventoryUnavailable

AnyRow = TypeVar("AnyRow", bound=BaseModel)

_OLDEST = (5, 4)  # API tokens, and availability by interface
_ENTRY = "/api_jsonrpc.php"
_TOKEN_REFUSED = re.compile(
    r"not authori[sz]ed|re-login|token expired|api access|no permissions to call", re.IGNORECASE
)

logging.getLogger("pyzabbix").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Api:
    """An open session. ``version``: (major, minor)."""

    client: Any
    session: BoundedSession
    version: tuple[int, ...]

    def get(self, method: str, row: type[AnyRow], **params: object) -> Iterator[AnyRow]:
        """Asks at once, and checks each row as it is taken: of thousands only a few live at a time, and what was answered is
        forgotten row by row.

        Raises InventoryUnavailable for everything that is not a list of such rows.
        """
        with _translated(self.session, self.client.auth):
            result = self.client.do_request(method, params)["result"]
        if not isinstance(result, list):
            raise self.unexpected(say("{method} answered no list", method=method))
        return self._checked(method, row, result)

    def count(self, method: str, **params: object) -> int:
        """How many such things there are. Raises InventoryUnavailable."""
        with _translated(self.session, self.client.auth):
            result = self.client.do_request(method, {**params, "countOutput": True})["result"]
        number = whole(result if isinstance(result, str) else str(result)[:20])
        if number is None:
            raise self.unexpected(say("{method} answered no number", method=method))
        return number

    def unexpected(self, what: str) -> InventoryUnavailable:
        return InventoryUnavailable(
            "zabbix_bad_answer",
            joined((self.session.where, what), ": "),
            say(
                "Zabbix {version} may be newer than this image: update the image",
                version=".".join(map(str, self.version)),
            ),
        )

    def _checked(self, method: str, row: type[AnyRow], result: list[object]) -> Iterator[AnyRow]:
        result.reverse()
        for place in range(len(result)):
            try:
                yield row.model_validate(result.pop())
            except ValidationError as error:
                what = say(
                    "{method} answered in [{place}]: {problem}",
                    method=method,
                    place=place,
                    problem=str(problems_of(error)[0]),
                )
                raise self.unexpected(what) from None


@contextlib.contextmanager
def connected(
    source: ZabbixInventory, *, within: float | None = None, web_proxies: WebProxies | None = None
) -> Iterator[Api]:
    """An API session with the token of the configuration; asks for the version once. ``within``: seconds for all of it.

    ``web_proxies``: through which it may go; None for none.
    """
    url = source.url.rstrip("/").removesuffix(_ENTRY) + _ENTRY
    check(url, source.ca_path)
    with BoundedSession(
        url, ca_path=source.ca_path, silence=source.timeout, within=within, web_proxies=web_proxies
    ) as session:
        client = ZabbixAPI(url, session=session)
        token = source.token.reveal()
        with _translated(session, token):
            client.login(api_token=token)
        version = client.version.release[:2] if client.version else ()
        if version < _OLDEST:
            raise InventoryUnavailable(
                "zabbix_too_old",
                say(
                    "{address} is Zabbix {version}, which has no API tokens",
                    address=session.where,
                    version=str(client.version),
                ),
                say("Zabbix 6.0 or later is needed"),
            )
        yield Api(client, session, version)


@contextlib.contextmanager
def _translated(session: BoundedSession, token: str) -> Iterator[None]:
    where = session.where
    try:
        with translated(where, session.silence):
            yield
    except ZabbixAPIException as error:
        raise _said(error, where, token) from None
    except (
        KeyError,
        TypeError,
        ValueError,
    ):  # JSON, but neither a result nor an error; or a version that cannot be read
        raise not_zabbix(where, say("it is JSON, but not JSON-RPC")) from None


def _said(error: ZabbixAPIException, where: str, token: str) -> InventoryUnavailable:
    """What the API said. pyzabbix's text for an answer that is not JSON holds the answer, passwords and all: not repeated."""
    if error.error is None:
        return not_zabbix(where, say("the answer is empty or not JSON"))
    said = f"{error.error.get('message', '')} {error.error.get('data', '')}".strip()
    said = (said.replace(token, "***") if token else said)[:300]
    if _TOKEN_REFUSED.search(said):
        return InventoryUnavailable(
            "zabbix_token",
            say("{address} refuses the token: {said}", address=where, said=said),
            say(
                "make an API token for a user who may call the API and read the network's host group and its templates, "
                "and set it as inventory.token"
            ),
        )
    return InventoryUnavailable(
        "zabbix_error",
        say("{address} answered with an error: {said}", address=where, said=said),
        say("the text is Zabbix's own; check it there, then try again"),
    )


__all__ = ["Api", "connected"]
