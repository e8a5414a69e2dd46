"""Log lines: one JSON object a line for machines, readable on a terminal. Each carries what was bound (run, correlation id)."""

from __future__ import annotations

import logging
from typing import TextIO

import structlog


def configure(form: str, *, debug: bool, stream: TextIO) -> None:
    """``form``: json, console, or empty for whatever fits the stream. Called once by each composition root."""
    console = form == "console" or (form != "json" and stream.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if console else structlog.processors.JSONRenderer()
    )
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    if debug:  # the one library whose own words help: which server, which algorithms, how a login went
        logging.basicConfig(stream=stream, format="%(asctime)s %(name)s %(message)s")
        logging.getLogger("asyncssh").setLevel(logging.INFO)
