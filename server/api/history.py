"""``GET /telemetry/history``: what agents delivered, in pages or as an export, for operators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask import Blueprint, Response, request

from contracts.ingest import NDJSON
from contracts.kinds import KINDS
from server.api.queries import Query, answer, encoded, invalid
from server.auth import endpoint
from server.current import services
from server.services.agents.fleet import Asked, agents_meant
from server.services.operators.access import Operator, Role
from server.services.telemetry.history import (
    PAGE,
    Exports,
    Item,
    Meant,
    Page,
    Wanted,
    history,
    numbered_page,
    parse_position,
)

blueprint = Blueprint("history", __name__)

WHOSE = ("client", "network", "agent_id")
_KNOWN = (*WHOSE, "kind", "sub", "from", "to", "start_date", "limit", "cursor", "page", "page_size", "format")
_DEFAULT = 100
_DEEPEST = 10_000  # rows; what lies deeper is reached by cursor
_MOST = 10**9


@blueprint.get("/telemetry/history")
@endpoint(Role.VIEWER)
def telemetry_history(operator: Operator) -> Response:
    """200 with a page, or with all as NDJSON where ``format`` or Accept asks for it. Refusal: exports_busy."""
    query = Query(_KNOWN)
    wanted = _wanted(query, operator)
    if _is_export(query):
        return _export(wanted, None if query.text("limit") is None else query.number("limit", 1, _MOST, 1))
    page = _page(query, wanted)
    return answer({"items": page.items, "next": page.next.text() if page.next else None})


def _wanted(query: Query, operator: Operator) -> Wanted:
    since = query.instant("from")
    if query.text("start_date"):
        if since is not None:
            raise invalid("from and start_date mean the same; give one of them")
        since = query.instant("start_date")
    asked = Asked(operator.clients, query.text("client"), query.text("network"), query.text("agent_id"))
    with services().database.reading() as connection:
        meant = agents_meant(connection, asked)
    return Wanted(
        meant=None if meant is None else Meant(*meant),
        kind=query.one_of("kind", sorted(KINDS)),
        sub=query.text("sub"),
        since=since,
        until=query.instant("to"),
    )


def _page(query: Query, wanted: Wanted) -> Page:
    database, cursor = services().database, query.text("cursor")
    if query.text("page") is None and query.text("page_size") is None:
        limit = query.number("limit", 1, PAGE, _DEFAULT)
        return history(database, wanted, limit, parse_position(cursor) if cursor else None)
    if cursor or query.text("limit"):
        raise invalid("page and page_size are given without cursor and limit")
    size = query.number("page_size", 1, PAGE, _DEFAULT)
    number = query.number("page", 0, _DEEPEST, 0)
    if (number + 1) * size > _DEEPEST:
        raise invalid(
            f"page: the first {_DEEPEST} rows can be reached by page; go on with cursor, the next of an answer"
        )
    return numbered_page(database, wanted, number, size)


def _is_export(query: Query) -> bool:
    form = query.one_of("format", ("json", "ndjson"))
    if form is None:
        return request.accept_mimetypes.best_match(["application/json", NDJSON]) == NDJSON
    return form == "ndjson"


def _export(wanted: Wanted, most: int | None) -> Response:
    exports = services().exports
    exports.begin()
    response = Response(_lines(exports, wanted, most), content_type=NDJSON)
    response.call_on_close(exports.end)
    response.headers["Cache-Control"] = "no-store"
    return response


def _lines(exports: Exports, wanted: Wanted, most: int | None) -> Iterator[bytes]:
    for items in exports.items(wanted, most):
        yield _packed(items)


def _packed(items: Sequence[Item]) -> bytes:
    return b"".join(encoded(item) + b"\n" for item in items)
