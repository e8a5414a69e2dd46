"""Spans of time as an operator writes them. Used by the commands."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import click

from contracts.text import say
from contracts.visible import quoted

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Duration(click.ParamType[dt.timedelta]):
    """A span of time such as 90d; converted to a timedelta."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.timedelta:
        found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", value)
        if not found:
            self.fail(
                say("{value}: give a number and m, h, d or w, for example 90d or 12h", value=quoted(value)), param, ctx
            )
        return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})
