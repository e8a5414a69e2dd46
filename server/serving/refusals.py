"""What is refused before Flask sees a request: by nginx, or by gunicorn where it stands alone. One table for both.

Read by :mod:`server.serving.nginx` and :mod:`server.serving.worker`.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.reasons.problem import INTERNAL_ERROR, MALFORMED, NOT_FOUND


@dataclass(frozen=True, slots=True)
class Refused:
    """``codes`` are nginx's own for it, none where only gunicorn refuses it.

    ``retry_after`` is in seconds; ``allow`` are the methods of all paths together.
    """

    status: int
    reason: str
    detail: str
    codes: tuple[int, ...]
    retry_after: int | None = None
    allow: str | None = None


BAD_REQUEST = Refused(400, "bad_request", MALFORMED, (400, 505))
URI_TOO_LONG = Refused(414, "uri_too_long", "the address is too long; send rede and nothing else", (414,))
HEADERS_TOO_LARGE = Refused(
    431, "headers_too_large", "the headers are too large; at most 32 kB together and 8 kB each are taken", (431, 494)
)
TOO_MANY_HEADERS = Refused(431, "too_many_headers", "the request has more than 100 headers; send fewer", ())
TRANSFER_CODING = Refused(501, "transfer_coding", "this transfer coding is not taken; send a Content-Length", (501,))
INTERNAL = Refused(500, "internal_error", INTERNAL_ERROR, (500,))

ALL: tuple[Refused, ...] = (
    BAD_REQUEST,
    Refused(400, "tls_required", "this address is served over https only; write https:// in the address", (497,)),
    # Unknown paths are the application's; these are nginx's own for its answers.
    Refused(404, "not_found", NOT_FOUND, (404,)),
    # nginx refuses TRACE and CONNECT on every path.
    Refused(
        405,
        "method_not_allowed",
        "no path takes this method; the Allow header names those that are taken",
        (405,),
        allow="GET, HEAD, POST",
    ),
    Refused(408, "request_timeout", "the request did not arrive in time; nothing was done, send it again", (408,)),
    Refused(411, "length_required", "send a Content-Length with the body", (411,)),
    Refused(413, "body_too_large", "the body is larger than any that is taken here; send less at once", (413,)),
    URI_TOO_LONG,
    Refused(
        429,
        "too_many_requests",
        "more requests come from this address than one address may send; wait and try again",
        (429,),
        1,
    ),
    HEADERS_TOO_LARGE,
    INTERNAL,
    TRANSFER_CODING,
    Refused(
        502,
        "backend_unavailable",
        "the application is not running or has just been restarted; whether the request was carried out is unknown, try again",
        (502,),
        5,
    ),
    Refused(503, "overloaded", "the server has no room for this request; nothing was done, try again later", (503,), 5),
    Refused(
        504,
        "backend_timeout",
        "the application did not answer in time; whether the request was carried out is unknown, try again",
        (504,),
        5,
    ),
)
