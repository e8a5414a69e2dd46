"""Which image a container is created from: image and reference belong together, or nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.deployment.records import RecordFile
from tests.unit.deployment.support import REPOSITORY, RUNTIME, TAG, Host, make_host


@pytest.fixture
def installed(tmp_path: Path) -> Host:
    host = make_host(tmp_path)
    assert host.update().reason == "installed"
    return host


def touched(host: Host, since: int) -> list[str]:
    """Calls since then that change the runtime or Watchtower."""
    return [
        call for call in host.engine.log[since:] if call.split()[0] in ("stop", "start", "rename", "remove", "restart")
    ]


def made_from(host: Host) -> str:
    found = host.engine.container(RUNTIME)
    assert found is not None
    return found.made_from


def forget_digests(host: Host, image_id: str) -> None:
    """As some engines do when a tag moves on: the image is there, its repository@digest means nothing any more."""
    host.engine.images[image_id] = replace(host.engine.images[image_id], digests=())


@pytest.mark.parametrize("kind", ["digest", "tag"])
def test_a_repair_takes_a_newly_configured_image(installed: Host, kind: str) -> None:
    image = installed.engine.publish("good", "2.0", f"{REPOSITORY}:2.0")
    reference = image.digests[0] if kind == "digest" else f"{REPOSITORY}:2.0"
    installed.env = {"FLAGEEMONITOR_IMAGE": reference}
    assert installed.run("repair").reason == "repaired"
    assert (installed.runs(), made_from(installed)) == ("2.0", reference)
    installed.assert_settled()
    assert installed.run("repair").reason == "unchanged"


def test_a_newly_configured_tag_is_never_given_to_the_old_image(installed: Host) -> None:
    image = installed.engine.publish("good", "2.0", f"{REPOSITORY}:2.0")
    installed.engine.fetch(f"{REPOSITORY}:2.0")
    installed.env = {"FLAGEEMONITOR_IMAGE": f"{REPOSITORY}:2.0"}
    installed.engine.remove(RUNTIME)
    assert installed.run("repair").reason == "repaired"
    assert installed.runs() == "2.0"
    assert installed.engine.tags[f"{REPOSITORY}:2.0"] == image.id


@pytest.mark.parametrize("reference", [f"{REPOSITORY}@sha256:{'e' * 64}", f"{REPOSITORY}:none"])
def test_an_unavailable_image_stops_nothing(installed: Host, reference: str) -> None:
    installed.env = {"FLAGEEMONITOR_IMAGE": reference}
    for _ in range(5):
        before = len(installed.engine.log)
        result = installed.run("repair")
        assert (result.reason, result.exit_code) == ("image_unavailable", 1)
        assert touched(installed, before) == []
        installed.engine.clock.sleep(300)
    installed.assert_settled()
    assert installed.runs() == "1.0"


def test_a_stopped_runtime_is_started_although_the_configured_image_is_unavailable(installed: Host) -> None:
    installed.env = {"FLAGEEMONITOR_IMAGE": f"{REPOSITORY}:none"}
    installed.engine.stop(RUNTIME, 1)
    assert installed.run("repair").reason == "repaired"
    installed.assert_settled()


def test_a_missing_runtime_comes_back_although_the_configured_image_is_unavailable(installed: Host) -> None:
    installed.env = {"FLAGEEMONITOR_IMAGE": f"{REPOSITORY}:none"}
    installed.engine.remove(RUNTIME)
    assert installed.run("repair").reason == "repaired"
    installed.assert_settled()
    assert installed.runs() == "1.0"
    assert "@sha256:" in made_from(installed)


def test_a_refused_image_leaves_the_old_container_and_its_reference(installed: Host) -> None:
    installed.engine.publish("unhealthy", "2.0", f"{REPOSITORY}:2.0")
    installed.env = {"FLAGEEMONITOR_IMAGE": f"{REPOSITORY}:2.0"}
    assert installed.run("repair").reason == "candidate_unhealthy"
    assert (installed.runs(), made_from(installed)) == ("1.0", TAG)


@pytest.mark.parametrize("registry", [True, False], ids=["pulled", "by-id"])
def test_a_rollback_works_when_the_engine_has_forgotten_the_image_s_digest(installed: Host, registry: bool) -> None:
    old = installed.engine.tags[TAG]
    installed.engine.publish("good", "2.0")
    installed.update()
    forget_digests(installed, old)
    installed.engine.registry_up = registry
    assert installed.run("rollback").reason == "rolled_back"
    pin = RecordFile(installed.folder / "etc").records.pinned
    assert pin is not None
    assert (installed.runs(), made_from(installed)) == ("1.0", pin.reference)
    assert pin.reference.startswith("registry.example" if registry else "sha256:")
    assert installed.run("repair").reason == "unchanged"


def test_a_pinned_image_whose_digest_is_forgotten_is_created_again_by_its_id(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.run("rollback")
    found = installed.engine.container(RUNTIME)
    assert found is not None
    forget_digests(installed, found.image_id)
    installed.engine.registry_up = False
    installed.env = {"TZ": "America/Sao_Paulo"}
    assert installed.run("repair").reason == "repaired"
    assert made_from(installed) == found.image_id
    assert installed.run("repair").reason == "unchanged"


def test_a_reference_that_names_another_image_is_noticed_before_anything_is_stopped(installed: Host) -> None:
    """Somebody pulls between the candidate and the swap, and the engine refuses to give the name back."""
    installed.engine.publish("good", "2.0")
    installed.engine.fetch()
    other = installed.engine.publish("good", "3.0")
    start, tag = installed.engine.start, installed.engine.tag

    def moved(name: str) -> None:
        installed.engine.fetch()
        start(name)

    installed.engine.start, installed.engine.tag = moved, lambda *_: None  # type: ignore[method-assign]
    before = installed.engine.container(RUNTIME)
    result = installed.run("apply")
    installed.engine.start, installed.engine.tag = start, tag  # type: ignore[method-assign]
    assert (result.reason, other.id) == ("image_unavailable", installed.engine.tags[TAG])
    assert "nothing was changed" in result.message
    assert installed.engine.container(RUNTIME) == before
