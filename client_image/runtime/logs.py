"""Log lines: one JSON object a line for machines, readable on a terminal. Each carries what was bound (run, correlation id)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import structlog

from contracts.visible import json_text, visible, visible_values
from runtime.adapters.streams import forgiving


class _Plain(logging.Formatter):
    """For lines that hold a server's own words."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def configure(
    form: str, *, debug: bool, stream: TextIO, keep: Callable[[Mapping[str, Any]], None] | None = None
) -> None:
    """``form``: json, console, or empty for whatever fits the stream. ``keep``: is given each line as well.
    Called once by each composition root."""
    console = form == "console" or (form != "json" and stream.isatty())
    forgiving(stream)
    render: list[structlog.types.Processor] = (
        [
            _visible,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
        ]
        if console
        else [structlog.processors.JSONRenderer(_json)]
    )
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *([_kept_by(keep)] if keep else []),
        *render,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    if debug:  # the one library whose own words help: which server, which algorithms, how a login went
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_Plain("%(asctime)s %(name)s %(message)s"))
        logging.basicConfig(handlers=[handler])
        logging.getLogger("asyncssh").setLevel(logging.INFO)


def _kept_by(keep: Callable[[Mapping[str, Any]], None]) -> structlog.types.Processor:
    def handed_on(
        _: structlog.types.WrappedLogger, __: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        keep(event)
        return event

    return handed_on


def _json(event: structlog.types.EventDict, **options: Any) -> str:
    return json_text(event, ascii_only=True, **options)


def _visible(_: structlog.types.WrappedLogger, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return visible_values(event)
