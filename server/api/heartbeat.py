"""``POST /v1/heartbeat``: how an agent is. The latest report counts."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from contracts.heartbeat import PATH, REPORT_BYTES
from server.api.bodies import read_body
from server.auth import endpoint
from server.current import services
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.agents.presence import read_report, take_report
from server.services.telemetry.batch import unpacked
from server.services.tokens.access import Scope
from server.services.tokens.admission import Admission

blueprint = Blueprint("heartbeat", __name__)


@blueprint.post(PATH)
@endpoint(Scope.INGEST)
def take_heartbeat(admitted: Admission) -> Response:
    """200 with what the agent should know; 409 while two instances of it are at work; errors are problem+json."""
    if request.mimetype != "application/json":
        raise Refusal(table.MEDIA_TYPE_UNSUPPORTED)
    here, agent, network_id = services(), admitted.agent, admitted.principal.network_id
    try:
        body = read_body(REPORT_BYTES, advice="send less")
        report, text = read_report(unpacked(body, request.headers.get("Content-Encoding", ""), REPORT_BYTES))
    except ValueError as error:
        raise Refusal(table.BODY_INVALID, says=str(error), do="") from None
    with here.database.writing() as session:
        answer = take_report(session, agent.id, network_id, report, text, here.clock(), here.heartbeat_interval)
    if answer is None:  # after the commit: who is at work must be known when the other one asks
        raise Refusal(table.IDENTITY_IN_USE, agent=agent.agent_id)
    response = Response(msgspec.json.encode(answer), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
