"""Watchtower does not take an image that was refused or rolled back from: the report tells its hook."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.container import update_hook
from tests.unit.deployment.support import TAG, Host, make_host


@pytest.fixture
def installed(tmp_path: Path) -> Host:
    host = make_host(tmp_path)
    assert host.update().reason == "installed"
    return host


def hook(host: Host) -> int:
    """The answer that Watchtower gets in the running container."""
    code, _ = update_hook.decide(host.folder / "data", host.engine.clock.now())
    (host.folder / "data/door").unlink(missing_ok=True)
    return code


def refused(host: Host) -> list[str]:
    return list(json.loads((host.folder / "data/deployment.json").read_text())["refused"])


def _by_the_candidate(host: Host) -> None:
    host.engine.publish("unhealthy", "2.0")
    assert host.update().reason == "candidate_unhealthy"


def _after_the_swap(host: Host) -> None:
    host.engine.publish("late", "2.0")
    assert host.update().reason == "restored"


def _gone_back_from(host: Host) -> None:
    host.engine.publish("crash", "2.0")
    host.watchtower_updates()
    assert host.run("repair").reason == "rolled_back"


@pytest.mark.parametrize("work", [_by_the_candidate, _after_the_swap, _gone_back_from])
def test_a_refused_image_is_reported_and_watchtower_waits(installed: Host, work: Callable[[Host], None]) -> None:
    assert hook(installed) == 0
    work(installed)
    assert refused(installed) == [installed.engine.tag_digest(installed.settings().image)]
    assert hook(installed) == update_hook.NOT_NOW


def test_watchtower_may_update_as_soon_as_the_tag_points_to_another_image(installed: Host) -> None:
    _by_the_candidate(installed)
    installed.engine.publish("good", "3.0")
    installed.engine.clock.sleep(300)
    installed.run("repair")  # the registry is asked again each time
    assert hook(installed) == 0


def test_a_registry_without_an_answer_for_an_hour_holds_nothing_back(installed: Host) -> None:
    _by_the_candidate(installed)
    installed.engine.registry_up = False
    codes = []
    for _ in range(14):
        installed.engine.clock.sleep(300)
        installed.run("repair")
        codes.append(hook(installed))
    assert codes == [update_hook.NOT_NOW] * 12 + [0] * 2


def test_without_a_repair_for_an_hour_nothing_is_held_back(installed: Host) -> None:
    _by_the_candidate(installed)
    installed.engine.clock.at += dt.timedelta(minutes=61)
    assert hook(installed) == 0


def test_an_image_that_passes_after_all_is_no_longer_refused(installed: Host) -> None:
    _by_the_candidate(installed)
    image = installed.engine.registry[TAG]
    installed.engine.kinds[image.id] = "good"
    assert installed.update().reason == "updated"
    assert (refused(installed), hook(installed)) == ([], 0)


def test_an_image_that_an_operator_rolled_back_from_stays_refused_until_resume(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    assert installed.run("rollback").reason == "rolled_back"
    assert len(refused(installed)) == 1
    assert installed.run("resume").reason == "updated"
    assert refused(installed) == []
