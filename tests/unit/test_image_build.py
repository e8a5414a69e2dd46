"""What the image build makes of its arguments and secrets, without an engine: the steps' own commands are run."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LICENCE = "hunter2-licence"
PYARMOR = """#!/bin/sh
set -eu
home=${PYARMOR_HOME:-$HOME/.pyarmor}
case $1 in
    (reg) mkdir -p "$home" .pyarmor; cp "$2" "$home/license.lic"; cp "$2" .pyarmor/config ;;
    (-v) echo "Pyarmor 9.2.8 (pro), 000001" ;;
    (gen) [ -s "$home/license.lic" ] || exit 3
          mkdir -p .pyarmor; cp "$home/license.lic" .pyarmor/project
          shift; while [ "$1" != --output ]; do shift; done; target=$2; shift 2
          if [ -n "${FAILS:-}" ]; then echo broken >&2; exit 1; fi
          cp -R "$@" "$target" ;;
esac
"""
VERSIONS = [
    "1.2.3",
    'a"b',
    "a\\b",
    "a'b",
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nb",
    "ção",
    "%s%d",
    "-n",
    "\\u0041",
]


def step(stage: str, holding: str) -> str:
    """The command of the RUN that holds this text, in a stage of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text()
    part = re.split(r"^FROM ", text.partition(f" AS {stage}\n")[2], flags=re.MULTILINE)[0]
    [found] = [one for one in re.findall(r"^RUN ((?:.*\\\n)*.*)$", part, re.MULTILINE) if holding in one]
    return re.sub(r"--mount=\S+ ", "", found)


@pytest.mark.parametrize("version", VERSIONS)
def test_build_json_holds_the_version_as_it_was_given(version: str, tmp_path: Path) -> None:
    command = step("client", "build.json").partition("&& mkdir")[0].replace("/flageemonitor/", f"{tmp_path}/")
    environ = {
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "VERSION": version,
        "REVISION": "abc",
        "BUILT_AT": "2026-01-01T00:00:00+00:00",
        "LICENCE": "trial",
    }
    subprocess.run(["sh", "-c", command.rstrip("\\\n ")], env=environ, check=True, cwd=tmp_path, timeout=60)
    written = json.loads((tmp_path / "build.json").read_text(encoding="utf-8"))
    assert written == {"version": version, "revision": "abc", "built_at": environ["BUILT_AT"], "licence": "trial"}
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("version", [version for version in VERSIONS if "\n" not in version and "$" not in version])
def test_make_passes_the_version_on_as_one_argument(version: str) -> None:
    said = subprocess.run(
        ["make", "-n", "-o", ".venv/.dev", "image", f"VERSION={version}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    builds = [shlex.split(line) for line in said.splitlines() if "docker build" in line]
    assert len(builds) == 2
    for words in builds:
        assert f"VERSION={version}" in words


@pytest.mark.parametrize("fails", ["", "1"])
def test_nothing_of_pyarmors_licence_stays_behind(fails: str, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("bin", "home", "tmp", "source", "secrets")}
    for folder in folders.values():
        folder.mkdir()
    (folders["bin"] / "pyarmor").write_text(PYARMOR)
    (folders["bin"] / "pyarmor").chmod(0o755)
    licence = folders["secrets"] / "licence"
    licence.write_text(LICENCE)
    (folders["source"] / "pkg").mkdir()
    (folders["source"] / "pkg" / "__init__.py").write_text("x = 1\n")
    ended = subprocess.run(
        ["sh", str(ROOT / "tools/protect.sh"), "full", str(folders["source"]), str(tmp_path / "target"), "pkg"],
        env={
            "PATH": f"{folders['bin']}:{os.environ['PATH']}",
            "HOME": str(folders["home"]),
            "TMPDIR": str(folders["tmp"]),
            "PYARMOR_LICENCE_FILE": str(licence),
            "FAILS": fails,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == (1 if fails else 0), ended.stderr
    assert (tmp_path / "target" / "pkg" / "__init__.py").exists() == (not fails)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and LICENCE in path.read_text(errors="replace")]
    assert left == [licence]
    assert list(folders["home"].iterdir()) == list(folders["tmp"].iterdir()) == []


def test_the_licence_is_in_the_build_as_a_secret_alone() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"^(COPY|ADD|ARG|ENV).*pyarmor_licence", text, re.MULTILINE | re.IGNORECASE)
    [run] = [line for line in text.splitlines() if "protect.sh" in line and line.startswith("RUN")]
    assert "--mount=type=secret,id=pyarmor_licence" in run
    assert "--mount=type=tmpfs,target=/tmp" in run
