"""The script that comes in place of an installer when there is none: it prints what happened and what to do, and exits with 1.

A pasted line runs the body of the answer, whatever its status, so that an error must be a script as well. It chooses the language
on the host, as the installer does. Called by :mod:`server.errors`, and by :mod:`server.serving.nginx` for what nginx refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from commandline.language import in_each_language
from contracts.languages import ENGLISH
from contracts.text import say
from server.reasons.on_host import on_host
from server.reasons.row import Row
from server.services.installer.rendering import powershell_quoted, sh_quoted

# Whoever asks for it by name gets application/problem+json, as everywhere.
_JSON = re.compile(r"application/(problem\+)?json", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """Of one installer. ``suffix``: of its path. ``script``: the lines by language -> the text, the same for the same lines."""

    suffix: str
    content_type: str
    script: Callable[[Mapping[str, list[str]]], str]


def form_for(path: str, accept: str) -> Form | None:
    """How an error at this path is answered; None: as problem+json. ``accept``: the request's header."""
    return None if _JSON.search(accept) else FORMS.get(path)


def error_script(form: Form, row: Row, status: int, correlation: str, values: Mapping[str, object]) -> str:
    """``values``: what fills in the words; nothing else of the request is in the script but ``correlation``."""
    words = on_host(row, status, values)
    sentences = (
        say("Failed: {what} Nothing was changed on this host.", what=words.says),
        words.do,
        say("Reason: {reason}, correlation id: {correlation}.", reason=row.code, correlation=correlation),
    )
    texts = [in_each_language(sentence) for sentence in sentences]
    return form.script({code: [text[code] for text in texts] for code in texts[0]})


_WHAT = "FlageeMonitor Proxy: an error of the control plane, in place of the installer. It prints a message and changes nothing."


def _sh(lines: Mapping[str, list[str]]) -> str:
    others = "".join(
        f"    ([{code[0].lower()}{code[0].upper()}][{code[1].lower()}{code[1].upper()}]*) set -- {_sh_words(text)} ;;\n"
        for code, text in lines.items()
        if code != ENGLISH
    )
    return (
        "#!/bin/sh\n{\n"  # cut anywhere behind this line it is a syntax error
        f"    # {_WHAT}\n"
        "    trap '' PIPE\n"
        '    case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in\n'
        f"{others}"
        f"    (*) set -- {_sh_words(lines[ENGLISH])} ;;\n"
        "    esac\n"
        "    printf '%s\\n' \"$@\" >&2\n"
        "    exit 1\n"
        "}\n"
    )


def _sh_words(lines: list[str]) -> str:
    return " ".join(map(sh_quoted, lines))


def _powershell(lines: Mapping[str, list[str]]) -> str:
    """No angle brackets are in it: PowerShell takes out what stands between two of them when it shows the body of an error."""
    chosen = "".join(
        f"    if ((Get-UICulture).Name -like '{code[:2]}*') {{ $Lines = {_powershell_words(text)} }}\n"
        for code, text in lines.items()
        if code != ENGLISH
    )
    return (
        f"# {_WHAT}\n"
        "& {\n"
        f"    $Lines = {_powershell_words(lines[ENGLISH])}\n"
        f"{chosen}"
        "    $global:LASTEXITCODE = 1\n"
        "    foreach ($Line in $Lines) { [Console]::Error.WriteLine($Line) }\n"
        "    # Pasted, `exit` would close the window with everything that was said.\n"
        "    if ($PSCommandPath) { exit 1 }\n"
        "    throw $Lines[-1]\n"
        "}\n"
    )


def _powershell_words(lines: list[str]) -> str:
    return f"@({', '.join(map(powershell_quoted, lines))})"


SH = Form("sh", "text/x-shellscript; charset=utf-8", _sh)
POWERSHELL = Form("ps1", "text/plain; charset=utf-8", _powershell)
FORMS: Mapping[str, Form] = {f"/api/bootstrap/install.{form.suffix}": form for form in (SH, POWERSHELL)}
