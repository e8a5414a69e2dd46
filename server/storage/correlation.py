"""The correlation id of a request in the statements that it sends to PostgreSQL, for that one's log and its list of what runs.

SQLite has neither.
"""

from __future__ import annotations

import structlog


def correlated(statement: str) -> str:
    """The statement with a comment; as it is where there is no request. The id has no letter that could end a comment; see
    :func:`contracts.ids.correlation_id`."""
    known = structlog.contextvars.get_contextvars().get("correlation_id")
    return f"{statement} /* correlation_id={known} */" if known else statement
