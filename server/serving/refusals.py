"""What is refused before Flask sees a request: by nginx, or by gunicorn where it stands alone. The words are the table's.

Read by :mod:`server.serving.nginx` and :mod:`server.serving.worker`.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.reasons import table
from server.reasons.table import Row


@dataclass(frozen=True, slots=True)
class Refused:
    """``codes`` are nginx's own for it, none where only gunicorn refuses it.

    ``retry_after`` is in seconds; ``allow`` are the methods of all paths together; ``words``: instead of the row's.
    """

    row: Row
    codes: tuple[int, ...]
    retry_after: int | None = None
    allow: str | None = None
    words: str | None = None

    @property
    def status(self) -> int:
        return self.row.status or 500

    @property
    def reason(self) -> str:
        return self.row.code

    @property
    def detail(self) -> str:
        return self.words or self.row.text()


BAD_REQUEST = Refused(table.BAD_REQUEST, (400, 505))
URI_TOO_LONG = Refused(table.URI_TOO_LONG, (414,))
HEADERS_TOO_LARGE = Refused(table.HEADERS_TOO_LARGE, (431, 494))
TOO_MANY_HEADERS = Refused(table.TOO_MANY_HEADERS, ())
TRANSFER_CODING = Refused(table.TRANSFER_CODING, (501,))
INTERNAL = Refused(table.INTERNAL_ERROR, (500,))

ALL: tuple[Refused, ...] = (
    BAD_REQUEST,
    Refused(table.TLS_REQUIRED, (497,)),
    # Unknown paths are the application's; these are nginx's own for its answers.
    Refused(table.NOT_FOUND, (404,)),
    # nginx refuses TRACE and CONNECT on every path.
    Refused(
        table.METHOD_NOT_ALLOWED,
        (405,),
        allow="GET, HEAD, POST",
        words="no path takes this method; the Allow header names those that are taken",
    ),
    Refused(table.REQUEST_TIMEOUT, (408,)),
    Refused(table.LENGTH_REQUIRED, (411,)),
    Refused(table.BODY_TOO_LARGE, (413,)),
    URI_TOO_LONG,
    Refused(table.TOO_MANY_REQUESTS, (429,), 1),
    HEADERS_TOO_LARGE,
    INTERNAL,
    TRANSFER_CODING,
    Refused(table.BACKEND_UNAVAILABLE, (502,), 5),
    Refused(table.OVERLOADED, (503,), 5),
    Refused(table.BACKEND_TIMEOUT, (504,), 5),
)
