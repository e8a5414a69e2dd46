"""`outbox`: what waits to be delivered, what the control plane refused, and delivering now."""

from __future__ import annotations

from collections.abc import Callable

from contracts.text import plural, say
from contracts.visible import quoted
from runtime.adapters.control_plane.transport import Transport
from runtime.adapters.state.outbox.delivery import revive
from runtime.adapters.state.outbox.limits import count_outbox
from runtime.adapters.state.outbox.listing import dead_ids, dead_letters, waiting_rows
from runtime.adapters.state.outbox.status import read_status
from runtime.adapters.state.store import State
from runtime.cli.history import plain
from runtime.cli.output import Out
from runtime.domain.errors import UsageFault
from runtime.domain.ports import Clock
from runtime.services.delivery import Delivery, drain

_WAITING = (say("kind"), say("waiting"), say("oldest"), say("last error"))
_DEAD = (say("refused"), say("kind"), say("why"), say("id"))
_MOST = 1000
ALL = "all"


def show_outbox(state: State, out: Out) -> int:
    """1 when the control plane takes nothing, or has refused something."""
    with state.read() as connection:
        counts, rows, status = count_outbox(connection), waiting_rows(connection), read_status(connection)
    trouble = status is not None and status.state != "ok"
    if out.form in ("json", "ndjson"):
        told = plain(status) if status else None
        out.json({"counts": plain(counts), "delivery": told, "waiting": [plain(row) for row in rows]})
        return int(trouble or counts.dead > 0)
    table = [(_name(row.kind, row.sub), row.waiting, out.when(row.oldest), row.last_error or "") for row in rows]
    out.table(_WAITING, table, ())
    out.say(
        say(
            "{waiting} waiting, {delivered} delivered, {dead} refused, {dropped} dropped undelivered",
            waiting=counts.waiting,
            delivered=counts.delivered,
            dead=counts.dead,
            dropped=counts.dropped,
        )
    )
    if status is not None and trouble:
        out.warn(status.message)
        out.advise(status.advice)
    if counts.dead:
        out.advise("flageemonitor-run outbox --dead")
    return int(trouble or counts.dead > 0)


def show_dead(state: State, out: Out) -> int:
    with state.read() as connection:
        letters = dead_letters(connection, _MOST)
    rows = [(out.when(one.refused_at), _name(one.kind, one.sub), one.why, one.id) for one in letters]
    out.table(_DEAD, rows, [plain(one) for one in letters], whole=(_DEAD[-1],))
    if not letters and out.form == "table":
        out.say(say("the control plane has refused nothing"))
    return 0


def retry_dead(state: State, beginning: str, out: Out) -> int:
    """``beginning``: of one id, or ALL."""
    with state.read() as connection:
        found = dead_ids(connection, "" if beginning == ALL else beginning)
    if not found and beginning != ALL:
        text = say("no refused envelope has an id that begins with {id}", id=quoted(beginning))
        raise UsageFault("unknown_envelope", text, say("flageemonitor-run outbox --dead lists them"))
    if len(found) > 1 and beginning != ALL:
        text = plural(
            "{n} refused envelope begins with {id}", "{n} refused envelopes begin with {id}", len(found), id=beginning
        )
        raise UsageFault("ambiguous_envelope", text, say("give more of the id, or all"))
    revived = state.write(lambda connection: revive(connection, found))
    out.say(plural("{n} envelope will be sent again", "{n} envelopes will be sent again", revived))
    return 0


def drain_now(state: State, connect: Callable[[], Transport], clock: Clock, out: Out) -> int:
    """1 when something that is due could not be delivered."""
    with state.read() as connection:
        before = count_outbox(connection)
    delivery = Delivery(state, connect, clock)
    drain(delivery, state, clock)
    with state.read() as connection:
        after = count_outbox(connection)
    sent = after.delivered - before.delivered
    out.say(
        say(
            "{sent} delivered, {waiting} still waiting, {dead} refused",
            sent=sent,
            waiting=after.waiting,
            dead=after.dead - before.dead,
        )
    )
    status = delivery.status
    if status is None or not status.message:
        return 0
    out.warn(status.message)
    out.advise(status.advice)
    return 1


def _name(kind: str, sub: str) -> str:
    return f"{kind} {sub}"
