"""What every command of ``flagee-server`` stands on: settings, the open database, and errors as messages.

Modules that cost start-up time are imported in the functions that need them, here and in all commands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from contracts.text import say

if TYPE_CHECKING:
    from server.settings import Settings
    from server.wiring import Services


@contextmanager
def working(settings: Settings | None = None, *, timeout: float | None = None) -> Iterator[Services]:
    """What a command works with. Refusals and database errors inside the block end the command with their message."""
    import sqlite3
    import sys

    import structlog
    from sqlalchemy.exc import SQLAlchemyError

    from server.reasons.refusal import Refusal
    from server.storage.causes import DatabaseUnavailable
    from server.storage.faults import explain
    from server.wiring import build_services

    if not structlog.is_configured():  # what the storage reports goes beside the result; by default it would go into it
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    settings = settings or settings_from()
    if timeout:
        settings = settings.model_copy(update={"database_timeout": timeout})
    try:
        services = build_services(settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        yield services
    except Refusal as refusal:
        raise click.ClickException(refusal.message) from None
    except (SQLAlchemyError, sqlite3.Error, DatabaseUnavailable, OSError) as error:
        raise click.ClickException(explain(error, services.database)) from None
    finally:
        services.close()


def settings_from(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings; what is wrong with them ends the command."""
    from server.settings import SettingsError, read_settings

    try:
        return read_settings(environ)
    except SettingsError as error:
        raise click.ClickException(say("wrong settings\n{problems}", problems=error)) from None
