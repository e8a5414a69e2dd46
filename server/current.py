"""What a request works with. Used by everything that is called while Flask answers one."""

from __future__ import annotations

from flask import current_app

from server.wiring import Services

EXTENSION = "flagee"


def services() -> Services:
    """What the application was built with."""
    found: Services = current_app.extensions[EXTENSION]
    return found
