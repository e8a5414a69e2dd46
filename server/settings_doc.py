"""Writes ``docs/settings.md`` from :class:`server.settings.Settings`. Run as ``python -m server.settings_doc [--check]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic.fields import FieldInfo

from contracts.secret import Secret
from server.settings import FILE_SUFFIX, Settings, variable

PATH = Path("docs/settings.md")
_HEAD = f"""\
# Settings of the control plane

<!-- Generated from server/settings.py by `python -m server.settings_doc`; edit there. -->

All settings are environment variables. Each can also be given as `…{FILE_SUFFIX}`, the path of a file that holds the value:
the way for secrets. An empty variable counts as not set. A wrong value stops the program with a message that names it.

| variable | default | what it does |
|---|---|---|
"""


def render() -> str:
    """The whole document."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        description = (field.description or "").replace("|", r"\|")
        yield f"| `{variable(name)}` | {_default(field)} | {description} |\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, Secret):
        return f"`{value.reveal()}`"  # a default is written in the source: nothing secret about it
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> int:
    """Write the document, or with ``--check`` say whether it is current: exit code 1 when it is not."""
    if "--check" not in arguments:
        PATH.write_text(render(), encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == render():
        return 0
    sys.stderr.write(f"{PATH} does not match server/settings.py; run: python -m server.settings_doc\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
