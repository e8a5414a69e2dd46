"""Logging of the control plane: one JSON object a line, or readable lines on a terminal. Set up by the app, gunicorn and the CLI.

What the standard library's loggers say (gunicorn, SQLAlchemy, Alembic) comes out the same, so every line has the same shape and
carries the correlation id of the request that caused it. Our own lines reach the handler without those loggers, which would cost
more than all the rest of a line: ``_log = structlog.get_logger(__name__)`` in a module, an event in ``snake_case``, the rest as
fields, a sentence for people as ``message``. Tracebacks are plain: pretty ones print local variables, and so secrets.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, Literal, TextIO

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
    handler = _Handler(render)
    structlog.configure(
        processors=[*_SHARED, _rendered],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Logger,
        cache_logger_on_first_use=True,
    )
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


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to stderr, one line at a time. ``render``: what makes a line's text of its fields."""

    def __init__(self, render: list[Processor]) -> None:
        super().__init__(sys.stderr)
        self.render = render

    def write(self, line: str) -> None:
        with (
            self.lock or contextlib.nullcontext(),
            contextlib.suppress(OSError, ValueError),
        ):  # nobody reads it any more
            self.stream.write(line + self.terminator)
            self.stream.flush()


class _Logger:
    """What structlog ends in. A logger is kept from its first use on, so it looks up each time what was configured last."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        for handler in _handlers():
            handler.write(line)

    debug = info = warning = error = critical = exception = msg


def _handlers() -> list[_Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]


def _rendered(logger: WrappedLogger, method: str, event: EventDict) -> Any:
    handlers = _handlers()
    if not handlers:
        raise structlog.DropEvent
    line: Any = event
    for processor in handlers[0].render:
        line = processor(logger, method, line)
    return line


def _visible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return visible_values(event)


def _json(event: EventDict, **options: Any) -> str:
    return json_text(event, ascii_only=not is_utf8(sys.stderr.encoding), **options)


def _first_things_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For people who read the JSON as it is."""
    return {name: event[name] for name in _FIRST if name in event} | dict(event)
