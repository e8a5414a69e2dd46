"""``GET /telemetry/live``: server-sent events of what agents deliver, as it comes, for operators."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contracts.kinds import KINDS
from server.api.queries import Query, invalid
from server.auth import endpoint, presented
from server.current import services
from server.reasons.refusal import Refusal
from server.services.clients import names_of
from server.services.operators.access import Operator, Role
from server.services.operators.admission import operator_of
from server.services.telemetry.live import Filter, Seen, parse_seen
from server.wiring import Services

blueprint = Blueprint("live", __name__)

_KNOWN = ("client", "network", "agent_id", "kind", "sub", "last_event_id")


@blueprint.get("/telemetry/live")
@endpoint(Role.VIEWER)
def telemetry_live(operator: Operator) -> Response:
    """200 and no end. Refusals: query_invalid, client_unknown, live_busy."""
    here, query = services(), Query(_KNOWN)
    wanted, seen, text = _filter(here, query, operator), _seen(query), presented()
    onlooker = here.live.begin(wanted, seen)
    response = Response(
        here.live.events(onlooker, lambda: _may_go_on(here, text, operator)), content_type="text/event-stream"
    )
    response.call_on_close(lambda: here.live.end(onlooker))
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a reverse proxy passes each event on at once
    return response


def _filter(here: Services, query: Query, operator: Operator) -> Filter:
    agent_id = query.text("agent_id")
    with here.database.reading() as connection:
        clients = names_of(connection, operator.clients, query.text("client"))
    return Filter(
        clients=clients,
        network=query.text("network"),
        agent_id=agent_id and agent_id.lower(),
        kind=query.one_of("kind", sorted(KINDS)),
        sub=query.text("sub"),
    )


def _seen(query: Query) -> Seen | None:
    """The header is what browsers send; the query is for those who cannot set one."""
    given = request.headers.get("Last-Event-ID") or query.text("last_event_id")
    if given is None:
        return None
    seen = parse_seen(given)
    if seen is None:
        raise invalid("Last-Event-ID: the id of an event is expected")
    return seen


def _may_go_on(here: Services, text: str, operator: Operator) -> bool:
    """Not when the token has ended, or the operator sees other clients now."""
    try:
        return operator_of(here.rows, text, Role.VIEWER, here.clock()).clients == operator.clients
    except Refusal:
        return False
