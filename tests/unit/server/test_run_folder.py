"""The folder of `serve`, and what is removed beside it."""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.serving import run_folder
from tests.harness.need import need_root


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path


def left(parent: Path, name: str = "flagee-left") -> Path:
    """As a killed process leaves it: no process holds the lock."""
    folder = parent / name
    folder.mkdir(mode=0o700)
    (folder / "serve.lock").touch()
    (folder / "body").mkdir()
    (folder / "body" / "1").write_text("of a caller")
    return folder


def made(parent: Path) -> None:
    with ExitStack() as stack:
        folder = run_folder.make(stack)
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed(parent: Path) -> None:
    one, other = left(parent), left(parent, "flagee-other")
    made(parent)
    assert not one.exists()
    assert not other.exists()


def test_the_folder_of_a_running_serve_stays(parent: Path) -> None:
    with ExitStack() as stack:
        running = run_folder.make(stack)
        made(parent)
        assert (running / "serve.lock").exists()


def test_a_folder_whose_lock_is_held_stays(parent: Path) -> None:
    folder = left(parent)
    with (folder / "serve.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made(parent)
    assert (folder / "body" / "1").exists()


def test_what_is_not_a_private_folder_of_serve_stays(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = left(tmp_path_factory.mktemp("elsewhere"))
    (parent / "flagee-link").symlink_to(elsewhere)
    (parent / "flagee-file").touch()
    left(parent, "flagee-open").chmod(0o755)
    left(parent, "another")
    linked = left(parent, "flagee-linked-lock")
    (linked / "serve.lock").unlink()
    (linked / "serve.lock").symlink_to(elsewhere / "serve.lock")
    (parent / "flagee-no-lock").mkdir(mode=0o700)
    os.mkfifo(left(parent, "flagee-pipe") / "pipe")
    (parent / "flagee-pipe" / "serve.lock").unlink()
    (parent / "flagee-pipe" / "pipe").rename(parent / "flagee-pipe" / "serve.lock")
    before = sorted(parent.iterdir())
    made(parent)
    assert sorted(parent.iterdir()) == before
    assert (elsewhere / "body" / "1").exists()


def test_the_folder_of_another_account_stays(parent: Path) -> None:
    need_root("a folder of another account")
    folder = left(parent)
    os.chown(folder, 12345, 12345)
    made(parent)
    assert folder.exists()


def test_links_in_what_is_removed_are_not_followed(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = left(tmp_path_factory.mktemp("elsewhere"))
    folder = left(parent)
    (folder / "link").symlink_to(elsewhere)
    made(parent)
    assert not folder.exists()
    assert (elsewhere / "body" / "1").exists()
