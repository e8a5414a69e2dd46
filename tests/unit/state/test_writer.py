"""The writer thread: what waits together is committed together, and nobody pays for somebody else's mistake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta
from runtime.adapters.state.writer import Writer
from tests.unit.state.support import open_state


def _put(key: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(insert(meta), {"key": key, "value": "x"})


def _keys(state: State) -> set[str]:
    with state.read() as connection:
        return set(connection.scalars(select(meta.c.key)))


def _blocked(state: State) -> tuple[Writer, threading.Event]:
    """The state's writer with one job at work that ends when the event is set, so that what follows waits together."""
    return state._writer, _block(state._writer)


def _block(writer: Writer) -> threading.Event:
    gate, started = threading.Event(), threading.Event()

    def wait(_connection: Connection) -> None:
        started.set()
        gate.wait()

    writer.submit(wait)
    started.wait()
    return gate


def test_work_that_fails_takes_nothing_else_with_it(state: State) -> None:
    writer, gate = _blocked(state)
    futures = [writer.submit(_put(key)) for key in ("a", "b", "a", "c")]
    gate.set()
    with pytest.raises(IntegrityError):
        futures[2].result()
    for future in (*futures[:2], futures[3]):
        future.result()
    assert _keys(state) >= {"a", "b", "c"}


def test_items_that_wait_together_are_written_in_one_go(state: State) -> None:
    calls: list[int] = []

    def bulk(connection: Connection, keys: Sequence[str]) -> None:
        calls.append(len(keys))
        connection.execute(insert(meta), [{"key": key, "value": "x"} for key in keys])

    writer, gate = _blocked(state)
    futures = [writer.submit_item(bulk, key) for key in ("a", "b", "c")]
    gate.set()
    for future in futures:
        future.result()
    assert calls == [3]

    writer, gate = _blocked(state)
    futures = [writer.submit_item(bulk, key) for key in ("d", "a", "e")]
    gate.set()
    futures[0].result()
    with pytest.raises(IntegrityError):
        futures[1].result()
    futures[2].result()
    assert calls == [3, 3, 1, 1, 1]
    assert _keys(state) >= {"a", "b", "c", "d", "e"}


def test_a_held_item_is_written_with_what_comes_next_and_before_it(state: State) -> None:
    order: list[str] = []

    def bulk(_: Connection, keys: Sequence[str]) -> None:
        order.extend(keys)

    writer, gate = _blocked(state)
    waiting = writer.submit(lambda _: order.append("handed over before"))
    held = [writer.hold_item(bulk, key) for key in ("a", "b")]
    gate.set()
    waiting.result()
    assert not any(future.done() for future in held)
    writer.submit(lambda _: order.append("next")).result()
    assert order == ["handed over before", "a", "b", "next"]
    assert all(future.done() for future in held)


def test_held_items_stay_together_in_a_batch(state: State) -> None:
    calls: list[list[str]] = []

    def bulk(_: Connection, keys: Sequence[str]) -> None:
        calls.append(list(keys))

    writer, gate = _blocked(state)
    for number in range(3):
        writer.hold_item(bulk, str(number))
        last = writer.submit(lambda _: None)
    gate.set()
    last.result()
    assert calls == [["0", "1", "2"]]


def test_a_held_item_that_cannot_be_written_is_logged_and_spoils_nothing_else(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    def bulk(_: Connection, keys: Sequence[str]) -> None:
        raise ValueError(f"no place for {keys[0]}")

    state.hold_item(bulk, "a")
    state.write(_put("b"))
    assert "b" in _keys(state)
    assert caplog.messages == ["not recorded: ValueError: no place for a"]


def test_closing_writes_a_held_item(tmp_path: Path) -> None:
    def bulk(connection: Connection, keys: Sequence[str]) -> None:
        connection.execute(insert(meta), [{"key": key, "value": "x"} for key in keys])

    with open_state(tmp_path) as state:
        state.hold_item(bulk, "a")
    with open_state(tmp_path) as again:
        assert "a" in _keys(again)


def test_closing_writes_what_was_handed_over(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    writer, gate = _blocked(state)
    futures = [writer.submit(_put(str(number))) for number in range(20)]
    gate.set()
    state.close()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="closed"):
        state.write(lambda connection: None)
    with open_state(tmp_path) as again:
        assert _keys(again) >= {str(number) for number in range(20)}
