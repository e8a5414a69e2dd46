"""``/api/bootstrap/install.sh``, ``install.ps1`` and ``enroll``: how a host becomes a proxy of its network."""

from __future__ import annotations

import re
from typing import Annotated

import structlog
from flask import Blueprint, Response, jsonify, request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from contracts.bounded import Unreadable, read_json
from contracts.document import problems_of
from contracts.secret import Secret
from server.api.bodies import read_body
from server.auth import endpoint, presented
from server.current import services
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.agents.enrolment import Enrolled, enroll
from server.services.installer.assets import LINUX, WINDOWS, Platform
from server.services.installer.script import install_script
from server.services.tokens.access import Principal, Scope
from server.services.tokens.admission import Admission

blueprint = Blueprint("bootstrap", __name__)

_log = structlog.get_logger(__name__)
_BODY_LIMIT = 8192  # bytes; a host name of 255 characters, each of them escaped, needs 3 kB
_ELSEWHERE = (
    "A known agent_id was enrolled from elsewhere. Its earlier token in this network has ended; agents of other networks are "
    "untouched. If the host was not reinstalled, renamed or moved, its disk was copied: remove FLAGEEMONITOR_AGENT_ID from the "
    "environment file of the copy and install it again. If nobody knows of it, revoke the token that was issued."
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _uuid(text: str) -> str:
    lowered = text.lower()
    if not _UUID.fullmatch(lowered) or not lowered.strip("0-"):
        raise ValueError("a UUID is expected, for example 0198c0de-0000-7000-8000-000000000001")
    return lowered


def _host_name(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("a name that can be printed on one line is expected")
    return text


class Enrolment(BaseModel):
    """Body of ``enroll``. Other keys are ignored, so that an installer of a later release can say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    agent_id: Annotated[str, AfterValidator(_uuid)]
    hostname: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_host_name)]


@blueprint.get("/api/bootstrap/install.sh")
@endpoint(Scope.BOOTSTRAP)
def install_sh(admitted: Admission) -> Response:
    """200 with the script for the token's network; errors are problem+json, and nothing of the script is in them."""
    return _script(admitted, LINUX, "text/x-shellscript")


@blueprint.get("/api/bootstrap/install.ps1")
@endpoint(Scope.BOOTSTRAP)
def install_ps1(admitted: Admission) -> Response:
    """The same for Windows."""
    # With the charset: Windows PowerShell takes text without one for Latin-1.
    return _script(admitted, WINDOWS, "text/plain; charset=utf-8")


def _script(admitted: Admission, platform: Platform, content_type: str) -> Response:
    here, version, token = services(), admitted.served(), Secret(presented())
    with here.database.reading() as connection:
        script = install_script(connection, here.vault, here.bootstrap, version, token, here.clock(), platform)
    response = Response(script, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/api/bootstrap/enroll")
@endpoint(Scope.BOOTSTRAP)
def enroll_agent(admitted: Admission) -> Response:
    """201 with a token of the agent's own; it is shown this once. Errors are problem+json."""
    here, principal, body = services(), admitted.principal, _body()
    with here.database.writing() as session:
        enrolled = enroll(
            session,
            principal,
            agent_id=body.agent_id,
            hostname=body.hostname,
            address=request.remote_addr,
            now=here.clock(),
        )
    here.counters.add("agent_enrolled", enrolled.kind)
    _tell(enrolled, body.hostname, principal)
    response = jsonify(
        agent_id=enrolled.agent_id, client=enrolled.client, network=enrolled.network, token=enrolled.token.reveal()
    )
    response.status_code = 201
    response.headers["Cache-Control"] = "no-store"
    return response


def _tell(enrolled: Enrolled, hostname: str, principal: Principal) -> None:
    """One line for every enrolment, so that the caller cannot tell by the time which one it was."""
    fields = {
        "client": enrolled.client,
        "network": enrolled.network,
        "agent_id": enrolled.agent_id,
        "hostname": hostname,
        "address": request.remote_addr,
        "token": principal.public_id,
        "issued": enrolled.token_id,
    }
    if not enrolled.signs:
        _log.info("agent_enrolled", **fields, kind=enrolled.kind)
        return
    before = [f"{one.client}/{one.network}: {one.hostname} at {one.address or 'unknown'}" for one in enrolled.before]
    _log.warning("agent_enrolled_elsewhere", **fields, signs=enrolled.signs, before=before, message=_ELSEWHERE)


def _body() -> Enrolment:
    if request.mimetype != "application/json":
        raise Refusal(table.MEDIA_TYPE_UNSUPPORTED)
    raw = read_body(_BODY_LIMIT, advice="send agent_id and hostname only")
    try:
        return Enrolment.model_validate(read_json(raw, limit=_BODY_LIMIT))
    except Unreadable as error:
        raise Refusal(table.BODY_INVALID, says=str(error), do="") from None
    except ValidationError as error:
        raise Refusal(table.BODY_INVALID, says="; ".join(map(str, problems_of(error))), do="") from None
