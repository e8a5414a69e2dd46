"""``POST /v1/ingest``: telemetry of agents, stored once, acknowledged one by one."""

from __future__ import annotations

import msgspec
import structlog
from flask import Blueprint, Response, request

from contracts.ingest import PATH
from server.api.bodies import read_body
from server.auth import endpoint
from server.current import services
from server.services.telemetry.batch import read_batch
from server.services.telemetry.reading import Sender
from server.services.telemetry.storing import take_batch
from server.services.tokens.access import Scope
from server.services.tokens.admission import Admission

blueprint = Blueprint("ingest", __name__)

_log = structlog.get_logger(__name__)


@blueprint.post(PATH)
@endpoint(Scope.INGEST)
def take_envelopes(admitted: Admission) -> Response:
    """200 after the commit, with what was not stored and why; errors of the whole batch are problem+json."""
    here, principal, agent = services(), admitted.principal, admitted.agent
    here.quotas.admit(agent.id, principal.client)
    batch = read_batch(
        read_body(here.ingest.bytes, advice="send less at once"),
        encoding=request.headers.get("Content-Encoding", ""),
        content_type=request.mimetype,
        limits=here.ingest,
    )
    here.quotas.charge(agent.id, principal.client, len(batch))
    sender = Sender(agent.id, agent.agent_id, principal.client, principal.network_id)
    answer = take_batch(here.database, sender, batch, here.clock())
    here.upkeep.wake()
    _log.info(
        "ingested",
        agent_id=agent.agent_id,
        received=answer.received,
        stored=answer.stored,
        idempotency_key=request.headers.get("X-Idempotency-Key", "")[:128] or None,
    )
    response = Response(msgspec.json.encode(answer), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
