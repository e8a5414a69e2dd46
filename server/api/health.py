"""``GET /health`` and ``GET /api/bootstrap/health``: for load balancers, the installer, and people.

It needs no token, so it names no host, path or key; ``flagee-server serve`` says those, to the operator.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from server.context import EXTENSION, Context
from server.services.health import check
from server.version import VERSION

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@blueprint.get("/api/bootstrap/health")
def health() -> Response:
    """200 when configurations can be served, also if not all of them; else 503."""
    context: Context = current_app.extensions[EXTENSION]
    found = check(context.database, context.vault, context.bootstrap.assets)
    response = jsonify(
        status=found.status,
        version=VERSION,
        database={"status": found.database, "backend": context.database.backend},
        migrations=found.schema
        and {"status": found.schema.state, "revision": found.schema.revision, "head": found.schema.head},
        secret_key={"status": found.key},
        assets={"status": found.assets},
    )
    response.status_code = 503 if found.status == "error" else 200
    response.headers["Cache-Control"] = "no-store"
    return response
