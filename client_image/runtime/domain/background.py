"""Blocking work in a thread that nobody waits for. Called for what may hang: Zabbix, the control plane, a disk, a check."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from contracts.text import say

T = TypeVar("T")


async def in_background(work: Callable[[], T]) -> T:
    """Like asyncio.to_thread, but what hangs there holds up neither a cancel nor the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await done


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of ``work``; raises what it raises, and TimeoutError when it takes longer. What hangs there is left behind."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as caught:
            errors.append(caught)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(say("no answer within {seconds} s", seconds=f"{seconds:.0f}"))
    return results[0]
