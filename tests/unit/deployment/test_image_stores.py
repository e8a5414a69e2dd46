"""Engines that keep images in containerd's store: an image's id is its manifest's digest, and a moved tag hides the digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.deployment.docker_engine import _image
from runtime.deployment.engine import Image
from runtime.deployment.records import RecordFile, Records
from tests.unit.deployment.support import NOW, REPOSITORY, RUNTIME, TAG, Host, make_host


@pytest.fixture
def installed(tmp_path: Path) -> Host:
    host = make_host(tmp_path)
    assert host.update().reason == "installed"
    return host


def in_containerd(image: Image) -> Image:
    [digest] = image.manifest_digests
    return replace(image, id=digest, manifest=digest)


def change_store(host: Host) -> None:
    """The engine begins again with containerd's store: nothing is there, and the registry's images have other ids."""
    engine = host.engine
    for name, image in list(engine.registry.items()):
        engine.registry[name] = in_containerd(image)
        engine.kinds[engine.registry[name].id] = engine.kinds[image.id]
    for part in (engine.images, engine.tags, engine.containers, engine.volumes):
        part.clear()


def running_image(host: Host) -> Image:
    found = host.engine.container(RUNTIME)
    assert found is not None
    return host.engine.images[found.image_id]


def test_the_digest_is_known_by_the_answer_of_either_store() -> None:
    digest = "sha256:" + "d" * 64
    old = _image({"Id": "sha256:" + "1" * 64, "RepoDigests": [f"{REPOSITORY}@{digest}"], "Config": {}})
    new = _image({"Id": digest, "RepoDigests": [], "Config": {}, "Descriptor": {"digest": digest}})
    assert (old.digest(REPOSITORY), old.manifest_digests) == (digest, (digest,))
    assert (new.digest(REPOSITORY), new.manifest_digests) == (digest, (digest,))
    neither = _image({"Id": "sha256:" + "1" * 64, "RepoDigests": None, "Config": {}, "Descriptor": None})
    assert (neither.digest(REPOSITORY), neither.manifest_digests) == ("", ())


def test_an_image_whose_tag_moved_on_is_recorded_by_its_digest(installed: Host) -> None:
    """Watchtower took it, and before it had proved itself somebody pulled a newer one."""
    change_store(installed)
    assert installed.run("repair").reason == "repaired"
    taken = in_containerd(installed.engine.publish("good", "2.0"))
    installed.engine.registry[TAG] = taken
    installed.watchtower_updates()
    installed.engine.images[taken.id] = replace(taken, digests=())
    for _ in range(4):
        assert installed.run("repair").reason == "unchanged"
        installed.engine.clock.sleep(300)
    entry = RecordFile(installed.folder / "etc").records.entry(taken.id)
    assert entry is not None
    assert (entry.reference, entry.digest) == (f"{REPOSITORY}@{taken.id}", taken.id)


def test_a_pin_holds_in_another_store_and_is_no_drift(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    assert installed.update().reason == "updated"
    assert installed.run("rollback").reason == "rolled_back"
    change_store(installed)
    assert installed.run("repair").reason == "repaired"
    assert installed.runs() == "1.0"
    for _ in range(3):
        assert installed.run("repair").reason == "unchanged"


def test_a_rollback_in_another_store_goes_to_another_release(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    assert installed.update().reason == "updated"
    change_store(installed)
    assert installed.run("repair").reason == "repaired"
    assert installed.runs() == "2.0"
    assert installed.run("rollback").reason == "rolled_back"
    assert installed.runs() == "1.0"
    assert [one.version for one in RecordFile(installed.folder / "etc").records.healthy] == ["1.0", "2.0"]


def test_an_image_that_passes_is_no_longer_refused_under_its_former_id() -> None:
    digest = "sha256:" + "d" * 64
    image = Image("sha256:" + "1" * 64, (f"{REPOSITORY}@{digest}",))
    refused = Records().with_refused(image, NOW)
    assert refused.refused_digests == (digest,)
    assert refused.without_refused(in_containerd(image)).refused == ()
    assert refused.without_refused(Image("sha256:" + "2" * 64)).refused != ()


def test_the_tag_is_behind_in_either_store(installed: Host) -> None:
    change_store(installed)
    assert installed.run("repair").reason == "repaired"
    running = running_image(installed)
    installed.engine.images[running.id] = replace(running, digests=())
    installed.engine.publish("good", "2.0", TAG)
    installed.engine.clock.sleep(3600)
    installed.run("repair")
    assert RecordFile(installed.folder / "etc").records.behind_since is not None
