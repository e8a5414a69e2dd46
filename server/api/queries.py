"""Reads what follows the question mark of an address, and writes answers as JSON. Called by the endpoints for operators."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import msgspec
from flask import Response, request

from contracts.bounded import MOST, whole
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal

_LONGEST = 512


class Query:
    """The query of the current request. Refusal: query_invalid, also for names that are not ``known`` and for those that come
    twice."""

    def __init__(self, known: Collection[str]) -> None:
        for name in request.args:
            if name not in known:
                raise invalid(f"{quoted(name[:64])} is not known here; it takes {', '.join(sorted(known))}")
            if len(request.args.getlist(name)) > 1:
                raise invalid(f"{name} comes twice")
            if len(request.args[name]) > _LONGEST or "\0" in request.args[name]:
                raise invalid(f"{name} is too long, or holds a NUL")

    def text(self, name: str) -> str | None:
        """None where it is missing or empty."""
        return request.args.get(name) or None

    def number(self, name: str, low: int, high: int, default: int) -> int:
        given = self.text(name)
        if given is None:
            return default
        found = whole(given, low, high)
        if found is None:
            raise invalid(f"{name}: a whole number from {low} to {high} is expected")
        return found

    def one_of(self, name: str, words: Collection[str]) -> str | None:
        given = self.text(name)
        if given is not None and given not in words:
            raise invalid(f"{name}: one of {', '.join(words)} is expected")
        return given

    def several(self, name: str, words: Collection[str]) -> list[str]:
        """Words with commas between; empty where it is missing."""
        given = (self.text(name) or "").split(",")
        if given == [""]:
            return []
        if strange := [word for word in given if word not in words]:
            raise invalid(f"{name}: {quoted(strange[0])} is none of {', '.join(words)}")
        return given

    def instant(self, name: str) -> dt.datetime | None:
        """ISO 8601 or milliseconds since 1970; a date alone is its beginning, and without an offset it is in UTC."""
        given = self.text(name)
        if given is None:
            return None
        try:
            if (unix_ms := whole(given, 0, MOST)) is not None:
                return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
            # In an address a plus sign that was not encoded is a blank.
            found = dt.datetime.fromisoformat(
                given.replace(" ", "+") if given.count(":") > 1 and "T" in given else given
            )
            return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        except (ValueError, OverflowError, OSError):
            pass
        raise invalid(f"{name}: a time such as 2026-03-14T12:00:00Z is expected")


def invalid(cause: str) -> Refusal:
    """For a query that cannot be used. ``cause``: a clause."""
    return Refusal(table.QUERY_INVALID, cause=cause)


def answer(value: Any) -> Response:
    """Dataclasses and aware instants as they are in every answer."""
    response = Response(encoded(value), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)
