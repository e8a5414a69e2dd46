"""The installers of both systems, whole but for what the control plane fills in. Pure.

`bootstrap/` holds the templates and their help. A line `# @@help.LANGUAGE@@` stands for a help text, `# @@sentences.FOLDER@@` for
the translations of what the script says, and `# @@programs@@` for the part that the installer for Windows shares with the host's
commands. Called by the server, which fills in the values, and by `make check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from contracts.host_commands import in_ascii
from contracts.script_sentences import table

_MARK = re.compile(r"^( *)# @@(help|sentences|[a-z-]+)(?:\.(\w+))?@@\n", re.MULTILINE)
TEMPLATES = {"linux": "bootstrap/install.sh", "windows": "bootstrap/install.ps1"}


def installer(read: Callable[[str], str], system: str) -> str:
    """The script. ``read``: the text of a file, by its path below the root of the release."""

    def filled(mark: re.Match[str]) -> str:
        indent, kind, language = mark.groups()
        if kind == "help":
            return read(f"bootstrap/help/{system}.{language}.txt")
        if kind == "sentences":
            return table(read, f"installer-{system}", system, language, indent)
        return _MARK.sub(filled, read(f"wrappers/{system}/{kind}.ps1"))

    text = _MARK.sub(filled, read(TEMPLATES[system]))
    # Windows PowerShell 5.1 reads a file in the machine's code page.
    return in_ascii(text) if system == "windows" else text
