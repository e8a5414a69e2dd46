"""The scripts for Windows as the grammar sees them. Nothing here runs them: that is what tests/pester is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tree_sitter import Node

from contracts.host_commands import COMMANDS, PLACEHOLDER
from server.services.installer.rendering import POWERSHELL, render
from tools import host_commands, powershell

ROOT = Path(__file__).parents[3]
INSTALLER = host_commands.made_installer("windows").encode()
TOOLS = tuple(COMMANDS)
VALUES = (
    "API_BASE", "ENROLL_URL", "HEALTH_URL", "CLIENT", "NETWORK", "TIMEZONE", "IMAGE", "WATCHTOWER_IMAGE", "WATCHTOWER_INTERVAL",
    "BOOTSTRAP_TOKEN", "SERVER_TIME", "SERVER_VERSION",
)  # fmt: skip


def wrapper(name: str, runtime: str = PLACEHOLDER) -> bytes:
    """The command as it is written on a host."""
    return host_commands.made("windows", name, runtime).encode()


SCRIPTS = {"install": INSTALLER, **{name: wrapper(name) for name in TOOLS}}


def rendered(value: str = "plain") -> bytes:
    """The real installer with every value the same."""
    return render(INSTALLER, dict.fromkeys(VALUES, value), POWERSHELL)


def function(script: bytes, name: str) -> Node:
    return powershell.functions(powershell.parse(script))[name]


def deploy_command(given: Mapping[str, str]) -> list[str]:
    """The words after ``docker`` that update-image.ps1 starts the one-shot container with.

    ``given``: folder, runtime, image and verb, as the script's variables would hold them.
    """
    source = function(wrapper("update-image"), "Get-DeployCommand")
    array = powershell.text(next(powershell.nodes(source, "array_expression")))
    values = {
        "$folder": given["folder"],
        "$runtime": given["runtime"],
        "$Image": given["image"],
        "$verb": given["verb"],
        "$locale": "LANG=pt_BR",
        "$Made": given.get("made", "made"),
    }
    words = []
    for word in re.finditer(r"""'([^']*)'|"((?:[^"]|(?<=')")*)"|\(Join-Path \$folder '(\w+)'\)|(\$[\w.]+)""", array):
        single, double, path, bare = (part or "" for part in word.groups())
        filled = re.sub(r"\$\(Join-Path \$folder '(\w+)'\)", rf"{given['folder']}/\1", double)
        for name in ("folder", "runtime"):
            filled = filled.replace(f"${{{name}}}", given[name]).replace(f"${name}", given[name])
        words.append(single or filled or (f"{given['folder']}/{path}" if path else values[bare]))
    return words
