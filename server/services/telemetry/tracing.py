"""The story of one correlation id, in the order in which it happened. Called by the CLI."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from contracts.bounded import Unreadable, read_json
from contracts.envelope import day_of, parse_id
from contracts.text import say
from contracts.visible import quoted, visible
from server.reasons import table
from server.reasons.refusal import Refusal
from server.storage.models import Agent, Client, Envelope, Network, Run
from server.storage.session import Reader

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Step:
    """``at``: by the agent's clock. ``what``: the words of the body that say most."""

    at: dt.datetime
    client: str
    network: str
    agent: str
    kind: str
    sub: str
    what: str
    correlation_id: str


def trace(reader: Reader, asked: str, most: int) -> list[Step]:
    """By a correlation id, or the id of a run or of an envelope. Refusal: trace_unknown."""
    found = _steps(reader, asked, most)
    if not found:
        correlation = reader.scalar(select(Run.correlation_id).where(Run.run_id == asked).limit(1)) or _of_envelope(
            reader, asked
        )
        found = _steps(reader, correlation, most) if correlation else []
    if not found:
        raise Refusal(table.TRACE_UNKNOWN, says=say("nothing is known of {id}", id=quoted(asked)))
    return found


def _of_envelope(reader: Reader, asked: str) -> str | None:
    found = parse_id(asked)
    if found is None:
        return None
    query = select(Envelope.correlation_id).where(
        Envelope.day == day_of(found), Envelope.envelope_id == uuid.UUID(found)
    )
    return reader.scalar(query.limit(1))


def _steps(reader: Reader, correlation: str, most: int) -> list[Step]:
    query = (
        select(
            Envelope.ts_unix_ms,
            Envelope.kind,
            Envelope.sub,
            Envelope.body,
            Client.name.label("client"),
            Network.code.label("network"),
            Agent.agent_id,
        )
        .join(Agent, Agent.id == Envelope.agent)
        .join(Network, Network.id == Agent.network_id)
        .join(Client, Client.id == Network.client_id)
        .where(Envelope.correlation_id == correlation)
        .order_by(Envelope.ts_unix_ms, Envelope.seq, Envelope.envelope_id)
        .limit(most)
    )
    return [
        Step(
            instant_of(row.ts_unix_ms),
            row.client,
            row.network,
            row.agent_id,
            row.kind,
            row.sub,
            what_of(row.body),
            correlation,
        )
        for row in reader.execute(query)
    ]


def instant_of(unix_ms: int) -> dt.datetime:
    """A clock that is wrong by more than a calendar holds is shown as its end."""
    try:
        return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def what_of(text: str) -> str:
    try:
        body = read_json(text)
    except Unreadable:
        return ""
    host = body.get("host")
    name = host.get("name") if isinstance(host, Mapping) else None
    parts = [name, *(body.get(key) for key in ("action", "outcome", "reason", "message"))]
    plan = body.get("plan")
    if isinstance(plan, list) and "outcome" not in body:  # of an event; a result says it in its message
        parts += plan
    if (code := body.get("exit_code")) is not None:
        parts.append(f"exit {code}")
    return visible(" ".join(str(part) for part in _plain(parts)))[:_LONGEST]


def _plain(parts: list[Any]) -> list[Any]:
    return [part for part in parts if isinstance(part, str | int) and part != ""]
