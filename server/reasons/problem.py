"""The shape of every error answer: ``application/problem+json`` (RFC 9457). Used by :mod:`server.errors` and, below Flask, in
:mod:`server.serving`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

CONTENT_TYPE = "application/problem+json"
CORRELATION_HEADER = "x-correlation-id"


class MalformedRequest(Exception):
    """The body of a request breaks the rules of HTTP. Raised by what reads the body; the caller is told 400."""


def problem_body(status: int, reason: str, detail: str, correlation: str, networks: Sequence[str] = ()) -> bytes:
    """``reason`` is stable and for programs, ``detail`` says what to do next, ``networks`` are the ones to choose from."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "reason": reason,
        "detail": detail,
        "correlation_id": correlation,
    }
    if networks:
        body["networks"] = list(networks)
    return json.dumps(body, ensure_ascii=False).encode()
