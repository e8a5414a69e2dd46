"""Logging of the control plane: one JSON object a line, or readable lines on a terminal. Set up by the app, gunicorn and the CLI.

What the standard library's loggers say (gunicorn, SQLAlchemy, Alembic) takes the same way, so every line has the same shape and
carries the correlation id of the request that caused it. Tracebacks are plain: pretty ones print local variables, and so secrets.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from contracts.visible import is_utf8, json_text, visible_values

_FIRST = ("timestamp", "level", "event", "correlation_id")
_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logging(form: Literal["auto", "json", "console"], level: str) -> None:
    """Send everything to stderr. Called again, the last call holds."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    render: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            _visible,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
        if console
        else [
            structlog.processors.format_exc_info,
            _first_things_first,
            structlog.processors.JSONRenderer(_json),
        ]
    )
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for noisy in ("alembic", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _visible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return visible_values(event)


def _json(event: EventDict, **options: Any) -> str:
    return json_text(event, ascii_only=not is_utf8(sys.stderr.encoding), **options)


def _first_things_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For people who read the JSON as it is."""
    return {name: event[name] for name in _FIRST if name in event} | dict(event)
