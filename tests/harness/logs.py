"""What a test, or an application in this process, configured about logging ends with it.

Called by a fixture around every test, and by `ControlPlane.app`, which may live as long as a module.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@contextlib.contextmanager
def logging_as_before() -> Iterator[None]:
    """Put back what is configured now: structlog, what is bound to its lines, the root's handlers, every logger's level."""
    configured, settings = structlog.is_configured(), structlog.get_config()
    bound = structlog.contextvars.get_contextvars()
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {logger: logger.level for logger in _loggers()}
    try:
        yield
    finally:
        if configured:
            structlog.configure(**settings)
        else:
            structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**bound)
        root.handlers[:] = handlers
        for logger in _loggers():
            if logger.level != (before := levels.get(logger, logging.NOTSET)):
                logger.setLevel(before)


@contextlib.contextmanager
def no_logger_kept() -> Iterator[None]:
    """The product keeps each logger from its first line on, with the settings of that moment: another test's, when it is over."""
    configure = structlog.configure

    def configure_uncached(**settings: Any) -> None:
        configure(**settings | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        yield


def _loggers() -> list[logging.Logger]:
    named = logging.Logger.manager.loggerDict.values()
    return [logging.getLogger(), *(logger for logger in named if isinstance(logger, logging.Logger))]
