"""What bodies of envelopes are made of: see :mod:`contracts.bodies`, which lists them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from msgspec import Meta, Struct

from contracts.envelope import whole

Instant = Annotated[dt.datetime, Meta(tz=True)]
Name = Annotated[str, Meta(max_length=255)]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
RunId = Annotated[str, whole(r"[A-Za-z0-9._:-]{1,64}")]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
ExitCode = Annotated[int, Meta(ge=-255, le=255)]


class Body(Struct, frozen=True, gc=False):
    """Base of all. No cycle can be in what JSON says, so the collector need not look for one in thousands of them."""


class Host(Body, frozen=True):
    """What one outcome is about: an entry of the inventory, a concentrator, or a network. ``id`` is unique within a run."""

    id: Annotated[str, Meta(min_length=1, max_length=255)]
    name: Name
    display_name: str = ""
    network: Annotated[str, Meta(max_length=64)] = ""
    address: Annotated[str, Meta(max_length=64)] = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    store: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    terminal: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    role: Annotated[str, Meta(max_length=32)] = ""
    provider: Annotated[str, Meta(max_length=32)] = ""
    identity: str | None = None
