"""``GET /health`` (and ``/api/bootstrap/health``) for people, monitoring and the installer; ``GET /ready`` for load balancers.

They need no token, so they name no host, path or key, and asking makes no work; ``flagee-server serve`` tells the operator more.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from server.auth import public
from server.current import services
from server.version import VERSION

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@blueprint.get("/api/bootstrap/health")
@public
def health() -> Response:
    """200 when configurations can be served, also if not all of them, or if nothing can be stored (``degraded``); else 503."""
    here = services()
    health = here.health.now()
    found, failure = health.found, health.last_failure
    return _answer(
        503 if health.status == "error" else 200,
        status=health.status,
        reasons=[row.code for row in health.reasons],
        version=VERSION,
        database={"status": found.database, "backend": here.database.backend},
        writing={
            "status": health.writing,
            "last_failed": failure and {"at": f"{failure.at:%Y-%m-%dT%H:%M:%SZ}", "reason": failure.code},
        },
        disk=health.disk and {"status": health.disk.state},
        migrations=found.schema
        and {"status": found.schema.state, "revision": found.schema.revision, "head": found.schema.head},
        secret_key={"status": found.key},
        assets={"status": found.assets},
    )


@blueprint.get("/ready")
@public
def ready() -> Response:
    """200 when this server can do its work for proxies: database, schema, secret key and assets; else 503."""
    reasons = [row.code for row in services().health.now().not_ready]
    return _answer(503 if reasons else 200, ready=not reasons, reasons=reasons)


def _answer(code: int, /, **body: object) -> Response:
    response = jsonify(body)
    response.status_code = code
    response.headers["Cache-Control"] = "no-store"
    return response
