"""How both drivers that are no terminal's read their sources: every query of the action, each with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.text import say
from runtime.domain.errors import Transient
from runtime.domain.model import Outcome, Reason
from runtime.domain.ports import Source
from runtime.domain.sources import Query, Row


async def rows_of(
    queries: Sequence[Query], source: Source, values: Mapping[str, Any], timeout: float
) -> dict[str, Sequence[Row]]:
    """The rows by the query's name. ``timeout``: seconds for each. Raises Transient for one that did not answer in time."""
    rows = {}
    for query in queries:
        try:
            async with asyncio.timeout(timeout):
                rows[query.name] = await source.read(query, values)
        except TimeoutError:
            text = say(
                "{source} had not answered {query} after {seconds} s. Nothing was changed",
                source=query.source,
                query=query.name,
                seconds=f"{timeout:.0f}",
            )
            raise Transient(Outcome.FAILED, Reason.DEADLINE, text, "observe") from None
    return rows
