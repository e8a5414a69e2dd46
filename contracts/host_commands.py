"""The commands on a host, `<runtime>-run` and so on, made from one template a system. Pure.

`wrappers/<system>/` holds the template, the parts that commands are made of, and what several parts share; `wrappers/help/` the
help for both systems. Sentences stand there in English; a catalogue has their translations. Called by deploy, which writes the
commands, and by `make check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from contracts.script_sentences import table

# The part that each command is made of.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "run": "run",
        "logs": "logs",
        "update-config": "update-config",
        "update-image": "update-image",
        "watchtower-logs": "logs",
        "uninstall": "uninstall",
    }
)
PLACEHOLDER = "@RUNTIME_NAME@"
SUFFIXES = {"linux": "", "windows": ".ps1"}  # of the commands themselves
SOURCES = {"linux": ".sh", "windows": ".ps1"}  # of what they are made from
_MARK = re.compile(r"^( *)# @@([\w-]+)(?:\.(\w+))?@@\n", re.MULTILINE)


def host_command(read: Callable[[str], str], system: str, command: str, runtime: str) -> str:
    """One command. ``read``: the text of a file, by its path below the folder that holds `wrappers/` and `locale/`.

    A line `# @@NAME@@` stands for the file NAME of the system's folder, `# @@COMMAND@@` for the command's part,
    `# @@help.LANGUAGE@@` for its help, and `# @@sentences.FOLDER@@` for the translations of what commands say.

    What is for Windows becomes ASCII, because Windows PowerShell 5.1 reads a file in the machine's code page: a character beyond
    becomes an expression with its number. So such characters may stand in strings in double quotes only.
    """

    def filled(mark: re.Match[str]) -> str:
        indent, name, language = mark.groups()
        if name == "help":
            return read(f"wrappers/help/{COMMANDS[command]}.{language}.txt")
        if name == "sentences":
            return table(read, f"wrappers-{system}", system, language, indent)
        return part(COMMANDS[command] if name == "COMMAND" else name)

    def part(name: str) -> str:
        return _MARK.sub(filled, read(f"wrappers/{system}/{name}{SOURCES[system]}"))

    text = part("template").replace("@COMMAND@", command).replace(PLACEHOLDER, runtime)
    return in_ascii(text) if system == "windows" else text


def in_ascii(text: str) -> str:
    """Each character beyond as an expression with its number, which only a string in double quotes may hold."""
    return re.sub(r"[^\x00-\x7f]", lambda found: f"$([char]0x{ord(found[0]):04X})", text)
