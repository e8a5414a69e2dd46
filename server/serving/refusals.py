"""What is refused before Flask sees a request: by nginx, or by gunicorn where it stands alone. The words are the table's.

Read by :mod:`server.serving.nginx` and :mod:`server.serving.worker`.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.reasons import table
from server.reasons.row import Row


@dataclass(frozen=True, slots=True)
class EarlyRefusal:
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


BAD_REQUEST = EarlyRefusal(table.BAD_REQUEST, (400, 505))
URI_TOO_LONG = EarlyRefusal(table.URI_TOO_LONG, (414,))
HEADERS_TOO_LARGE = EarlyRefusal(table.HEADERS_TOO_LARGE, (431, 494))
TOO_MANY_HEADERS = EarlyRefusal(table.TOO_MANY_HEADERS, ())
TRANSFER_CODING = EarlyRefusal(table.TRANSFER_CODING, (501,))
INTERNAL = EarlyRefusal(table.INTERNAL_ERROR, (500,))

ALL: tuple[EarlyRefusal, ...] = (
    BAD_REQUEST,
    EarlyRefusal(table.TLS_REQUIRED, (497,)),
    # Unknown paths are the application's; these are nginx's own for its answers.
    EarlyRefusal(table.NOT_FOUND, (404,)),
    # nginx refuses TRACE and CONNECT on every path.
    EarlyRefusal(
        table.METHOD_NOT_ALLOWED,
        (405,),
        allow="GET, HEAD, POST",
        words="no path takes this method; the Allow header names those that are taken",
    ),
    EarlyRefusal(table.REQUEST_TIMEOUT, (408,)),
    EarlyRefusal(table.LENGTH_REQUIRED, (411,)),
    EarlyRefusal(table.BODY_TOO_LARGE, (413,)),
    URI_TOO_LONG,
    EarlyRefusal(table.TOO_MANY_REQUESTS, (429,), 1),
    HEADERS_TOO_LARGE,
    INTERNAL,
    TRANSFER_CODING,
    EarlyRefusal(table.BACKEND_UNAVAILABLE, (502,), 5),
    EarlyRefusal(table.OVERLOADED, (503,), 5),
    EarlyRefusal(table.BACKEND_TIMEOUT, (504,), 5),
)
