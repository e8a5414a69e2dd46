"""``GET /agents/status``, ``/v1/workers`` and ``/v1/workers/health``: how agents are, for operators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from server.api.queries import Query, answer
from server.auth import endpoint
from server.current import services
from server.services.agents.fleet import AT_WORK, STATES, AgentStatus, Asked, Page, agents_page, health
from server.services.operators.access import Operator, Role

blueprint = Blueprint("agents", __name__)

_FILTERS = ("client", "network", "agent_id")
_MOST = 5000


@blueprint.get("/agents/status")
@endpoint(Role.VIEWER)
def agents_status(operator: Operator) -> Response:
    """200 with counts by state and a page of agents; ``next`` is the ``cursor`` of the next page."""
    query = Query((*_FILTERS, "state", "limit", "cursor"))
    page = _page(query, operator, _states(query) or frozenset(STATES))
    now = services().clock()
    return answer({"server_time": now, "counts": page.counts, "agents": page.agents, "next": page.next})


@blueprint.get("/v1/workers")
@endpoint(Role.VIEWER)
def workers(operator: Operator) -> Response:
    """200 with an array of those that are at work: heard within ten intervals."""
    query = Query((*_FILTERS, "state", "limit", "cursor"))
    page = _page(query, operator, _states(query) or AT_WORK)
    response = answer([_worker(one) for one in page.agents])
    if page.next:
        response.headers["X-Next-Cursor"] = page.next
    return response


@blueprint.get("/v1/workers/health")
@endpoint(Role.VIEWER)
def workers_health(operator: Operator) -> Response:
    """200 with numbers of the whole fleet, or of a part of it; the word is in ``status``."""
    here, query = services(), Query(_FILTERS)
    with here.database.reading() as connection:
        return answer(health(connection, _asked(query, operator, frozenset(STATES)), here.clock()))


def _page(query: Query, operator: Operator, states: frozenset[Any]) -> Page:
    here = services()
    limit, after = query.number("limit", 1, _MOST, 1000), query.text("cursor")
    with here.database.reading() as connection:
        return agents_page(connection, _asked(query, operator, states), here.clock(), limit=limit, after=after)


def _asked(query: Query, operator: Operator, states: frozenset[Any]) -> Asked:
    return Asked(operator.clients, query.text("client"), query.text("network"), query.text("agent_id"), states)


def _states(query: Query) -> frozenset[Any]:
    return frozenset(query.several("state", STATES))


def _worker(agent: AgentStatus) -> dict[str, Any]:
    """An agent under the names that workers have."""
    values = asdict(agent)
    renamed = {"worker_id": values.pop("agent_id"), "name": values.pop("hostname"), "kind": "proxy"}
    return {**renamed, "last_heartbeat": values.pop("seen_at"), **values}
