"""The daemon in this process: what it notes of itself, and that nothing outside can hold up its end."""

import asyncio
import datetime as dt
import json
import os
import signal
import threading
from pathlib import Path

import pytest

from runtime.adapters.state.meta import DaemonStatus, read_daemon_status
from runtime.adapters.state.run_barrier import DEPLOY, HOOK, close_barrier, closed_until
from runtime.adapters.state.store import State
from runtime.daemon import keep_running
from runtime.domain.background import in_background
from runtime.services.deployment_watch import DeploymentWatch
from runtime.settings import read_settings
from runtime.wiring import Installation
from tests.unit.state.support import StillClock, open_state, outbox_rows

DOCUMENT = b'{"schema_version": 2, "network": "ACME", "inventory": {"kind": "static"}}'


@pytest.mark.parametrize("stored", [None, DOCUMENT], ids=["without a configuration", "with one"])
def test_the_daemon_records_its_heartbeat_and_refresh_and_ends_on_request(tmp_path: Path, stored: bytes | None) -> None:
    paths = {f"FLAGEEMONITOR_{name}_PATH": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA")}
    if stored is not None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/config_bot.json").write_bytes(stored)

    async def story(installation: Installation) -> tuple[DaemonStatus, int]:
        running = asyncio.create_task(keep_running(installation))
        while True:
            status = await asyncio.to_thread(read_daemon_status, installation.state)
            if status is not None and status.heartbeat_at is not None and status.refreshed_at is not None:
                break
            await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        return status, await running

    with Installation(read_settings(paths)) as installation:
        status, code = asyncio.run(story(installation))
    assert code == 0
    assert status.pid == os.getpid()
    assert (status.refresh["reason"], status.refresh["in_force"]) == ("unavailable", stored is not None)


@pytest.mark.parametrize(("by", "open_afterwards"), [(HOOK, True), (DEPLOY, False)])
def test_the_daemon_opens_the_door_at_its_start_unless_deploy_closed_it(
    tmp_path: Path, by: str, open_afterwards: bool
) -> None:
    paths = {f"FLAGEEMONITOR_{name}_PATH": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA")}

    async def story(installation: Installation) -> None:
        running = asyncio.create_task(keep_running(installation))
        while True:
            if await asyncio.to_thread(read_daemon_status, installation.state) is not None:
                break
            await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    with Installation(read_settings(paths)) as installation:
        now = installation.clock.now()
        assert installation.state.folder == tmp_path / "data"
        close_barrier(tmp_path / "data", now + dt.timedelta(minutes=5), by=by)
        asyncio.run(story(installation))
    assert (closed_until(tmp_path / "data", now) is None) is open_afterwards


def test_each_change_of_the_deployment_is_reported_once_across_containers(tmp_path: Path) -> None:
    def tell(reason: str, at: str) -> None:
        last = {"verb": "repair", "reason": reason, "message": "as it is", "at": at}
        (tmp_path / "deployment.json").write_text(json.dumps({"schema": 1, "last": last}))

    async def look(state: State) -> None:
        watch = DeploymentWatch(state, StillClock(), 300)
        for _ in range(2):
            await watch.check()

    reasons: list[str] = []
    for reason, at in (("updated", "1"), ("updated", "1"), ("rolled_back", "2")):
        with open_state(tmp_path) as state:
            tell(reason, at)
            asyncio.run(look(state))
            reasons = [row["reason"] for row in outbox_rows(state, "deployment")]
    assert reasons == ["updated", "rolled_back"]


def test_work_in_the_background_gives_its_result_or_its_error() -> None:
    def fail() -> None:
        raise OSError("no such thing")

    assert asyncio.run(in_background(lambda: 7)) == 7
    with pytest.raises(OSError, match="no such thing"):
        asyncio.run(in_background(fail))


def test_background_work_that_hangs_delays_no_caller() -> None:
    never = threading.Event()

    async def give_up() -> None:
        task = asyncio.create_task(in_background(never.wait))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())  # would wait for a thread of the loop's own
    never.set()
