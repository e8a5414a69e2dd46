"""The Linux installer's own functions, run: what it writes is what the Windows installer has to write."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests/cases/environment_file"
_CALL = """
put() { cat "$1" >"$2"; }
chown() { :; }
warn() { :; }
write_environment
"""


@dataclass(frozen=True, slots=True)
class Written:
    """The environment file, and what the container of the first configuration gets."""

    file: str
    container: str


def cases() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))}


def written(case: Mapping[str, Any], folder: Path) -> Written:
    """What bootstrap/install.sh makes of the case."""
    lines = (ROOT / "bootstrap/install.sh").read_text().splitlines()
    assert lines[-1].startswith("{ main "), "the last line starts it"
    (folder / "stage").mkdir()
    file = folder / "flageemonitor.env"
    if case["before"]:
        file.write_text(case["before"])
    options = case["options"]
    assigned = {
        **case["values"],
        "runtime": case["runtime"],
        "agent_id": case["agent"],
        "image": options["image"],
        "watchtower_image": options["watchtower_image"],
        "interval": options["interval"],
        "network": options["network"],
        "ca": "/ca.pem" if options["ca"] else "",
        "DOCKER_HOST": "unix:///var/run/docker.sock",
        "stage": str(folder / "stage"),
        "marker": str(folder / "marker"),
        "env_file": str(file),
    }
    text = "\n".join([*lines[:-1], *(f"{name}={shlex.quote(value)}" for name, value in assigned.items()), _CALL])
    subprocess.run(["sh", "-s"], input=text.encode(), check=True, timeout=30)
    return Written(file.read_text(), (folder / "stage" / "container.env").read_text())
