"""Sentences in a shell script, and their translations as a part of it. Pure.

A script says each sentence once, in English, with its variables inside: "Pulling $wanted". In a catalogue that is the template
"Pulling {wanted}". On a host the script looks for the finished sentence among those of its table, which has both languages.
Called by :mod:`contracts.installers` and :mod:`contracts.host_commands`, which put the tables in, and by `make check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from contracts.languages import read_po

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_SITE = "site_"
_WIDEST = 130  # a row of a table that is longer stands on two lines


def table(read: Callable[[str], str], room: str, system: str, folder: str, indent: str) -> str:
    """The table of the catalogue ``room`` in the language's ``folder``, as a script of the system has it."""
    catalogue = read_po(read(f"locale/{folder}/{room}.po"))
    rows = powershell_table if system == "windows" else sh_table
    return rows({english: forms[0] for english, forms in catalogue.items()}, indent)


def sh_table(sentences: Mapping[str, str], indent: str) -> str:
    """Rows of a `case` over the finished sentence, each of which sets `text`. ``sentences``: English template -> translation."""
    rows = []
    for english, translation in sentences.items():
        pattern, value = f"{indent}({sh_text(english)})", f"text={sh_text(translation)} ;;"
        one_line = f"{pattern} {value}"
        rows.append(one_line if len(one_line) <= _WIDEST else f"{pattern}\n{indent}    {value}")
    return "".join(f"{row}\n" for row in rows)


def sh_text(template: str) -> str:
    """The template in double quotes. Nothing in it runs but the expansion of the variables that are its placeholders."""
    found, at = [], 0
    for placeholder in _PLACEHOLDER.finditer(template):
        found.append(_sh_plain(template[at : placeholder.start()]))
        at = placeholder.end()
        follows = template[at : at + 1]
        name = placeholder[1]
        found.append(f"${{{name}}}" if re.match(r"\w", follows, re.ASCII) else f"${name}")
    return f'"{"".join(found)}{_sh_plain(template[at:])}"'


def powershell_table(sentences: Mapping[str, str], indent: str) -> str:
    """The same for a function that has it as `$Finished`, and returns the translation."""
    rows = []
    for english, translation in sentences.items():
        found, value = f"if ($Finished -ceq {powershell_text(english)}) {{", f"return {powershell_text(translation)}"
        one_line = f"{indent}{found} {value} }}"
        rows.append(one_line if len(one_line) <= _WIDEST else f"{indent}{found}\n{indent}    {value}\n{indent}}}")
    return "".join(f"{row}\n" for row in rows)


def powershell_text(template: str) -> str:
    """As :func:`sh_text`. A placeholder `site_NAME` is the entry NAME of the table `$site`."""
    found, at = [], 0
    for placeholder in _PLACEHOLDER.finditer(template):
        found.append(_powershell_plain(template[at : placeholder.start()]))
        at = placeholder.end()
        name = placeholder[1]
        if name.startswith(_SITE):
            found.append(f"$($site.{name.removeprefix(_SITE)})")
        else:
            # Behind a name these would be read as a part of it.
            found.append(f"${{{name}}}" if re.match(r"[\w:?]", template[at : at + 1]) else f"${name}")
    return f'"{"".join(found)}{_powershell_plain(template[at:])}"'


def _powershell_plain(text: str) -> str:
    return re.sub(r'[`"$]', r"`\g<0>", text).replace("\n", "`n")


def _sh_plain(text: str) -> str:
    return re.sub(r'[\\"$`]', r"\\\g<0>", text)
