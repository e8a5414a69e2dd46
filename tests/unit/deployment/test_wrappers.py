"""The host's commands, written from the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.host_commands import COMMANDS
from runtime.deployment.host_files import write_wrappers
from runtime.deployment.names import Names

WRAPPER = "#!/bin/sh\n# FlageeMonitor Proxy, flageemonitor-@COMMAND@.\nruntime=${RUNTIME_NAME:-@RUNTIME_NAME@}\n"
ROOT = Path(__file__).parents[3]
ALL = tuple(f"proxy-{command}" for command in COMMANDS)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    source = tmp_path / "image/wrappers/linux"
    source.mkdir(parents=True)
    (source / "template.sh").write_text(WRAPPER)
    (tmp_path / "bin").mkdir()
    return tmp_path / "image", tmp_path / "bin"


def test_wrappers_are_written_once_with_the_runtime_name_inside(folders: tuple[Path, Path]) -> None:
    changed, problems = write_wrappers(*folders, Names("proxy"))
    assert (changed, problems) == (ALL, ())
    written = folders[1] / "proxy-run"
    assert "${RUNTIME_NAME:-proxy}" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o755
    before = written.stat()
    assert write_wrappers(*folders, Names("proxy")) == ((), ())
    assert written.stat().st_ino == before.st_ino


def test_a_changed_wrapper_and_a_link_of_its_name_are_replaced(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    write_wrappers(*folders, Names("proxy"))
    (folders[1] / "proxy-run").unlink()
    (folders[1] / "proxy-run").symlink_to(tmp_path / "precious")
    (folders[1] / "proxy-logs").write_text("edited by hand")
    assert write_wrappers(*folders, Names("proxy"))[0] == ("proxy-run", "proxy-logs")
    assert (tmp_path / "precious").read_text() == "mine"


def test_only_old_wrappers_of_this_runtime_are_removed(folders: tuple[Path, Path]) -> None:
    old = WRAPPER.replace("@COMMAND@", "old")
    texts = {
        "proxy-old": old.replace("@RUNTIME_NAME@", "proxy"),
        "proxy-two-run": old.replace("@RUNTIME_NAME@", "proxy-two"),
        "proxy-tool": "#!/bin/sh\n",
        "other": old.replace("@RUNTIME_NAME@", "proxy"),
    }
    for name, text in texts.items():
        (folders[1] / name).write_text(text)
    write_wrappers(*folders, Names("proxy"))
    left = {path.name for path in folders[1].iterdir()}
    assert left == {*ALL, "proxy-two-run", "proxy-tool", "other"}


def test_a_wrapper_that_cannot_be_written_is_reported(folders: tuple[Path, Path]) -> None:
    (folders[1] / "proxy-run").mkdir()
    (folders[1] / "proxy-run/inside").touch()
    changed, problems = write_wrappers(*folders, Names("proxy"))
    assert changed == ALL[1:]
    assert problems[0].startswith("proxy-run could not be written")
    assert not list(folders[1].glob(".*"))


def test_an_image_without_wrappers_removes_no_wrapper(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_wrappers(*folders, Names("proxy"))
    assert write_wrappers(tmp_path / "none", folders[1], Names("proxy")) == ((), ())
    assert (folders[1] / "proxy-run").exists()


def test_an_image_that_lacks_a_part_of_a_wrapper_keeps_the_present_one(folders: tuple[Path, Path]) -> None:
    write_wrappers(*folders, Names("proxy"))
    with (folders[0] / "wrappers/linux/template.sh").open("a") as template:
        template.write("# @@COMMAND@@\n")
    (folders[0] / "wrappers/linux/logs.sh").write_text("main() { :; }\n")
    changed, problems = write_wrappers(*folders, Names("proxy"))
    assert changed == ("proxy-logs", "proxy-watchtower-logs")
    assert [problem.split()[0] for problem in problems] == [name for name in ALL if not name.endswith("logs")]
    assert {path.name for path in folders[1].iterdir()} == set(ALL)


def test_the_wrappers_stay_short() -> None:
    """Both systems together; helps and translations are files of their own."""
    sources = [path for system in ("linux", "windows") for path in (ROOT / "wrappers" / system).iterdir()]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources) <= 1390


def test_an_image_without_a_catalogue_keeps_the_present_commands(folders: tuple[Path, Path]) -> None:
    write_wrappers(*folders, Names("proxy"))
    with (folders[0] / "wrappers/linux/template.sh").open("a") as template:
        template.write("# @@sentences.pt_BR@@\n")
    changed, problems = write_wrappers(*folders, Names("proxy"))
    assert (changed, len(problems)) == ((), len(ALL))
    catalogue = folders[0] / "locale/pt_BR/wrappers-linux.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text('msgid "Not {what}."\nmsgstr "Não {what}."\n', encoding="utf-8")
    assert write_wrappers(*folders, Names("proxy")) == (ALL, ())
    assert '("Not $what.") text="Não $what." ;;\n' in (folders[1] / "proxy-logs").read_text(encoding="utf-8")
