"""Finds the sentences for people in scripts that run on a host. Used by :mod:`tools.sentences`.

Which functions say sentences is written here. Their arguments are read as the shell's grammar has them, so that it also finds
what no table could translate: text with a command or a numbered argument inside, and text that is put together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SH_CALLS = ("say", "step", "fail", "problem", "bad_usage", "translate", "tell", "warn", "recorded")
_SINGLE, _DOUBLE = r"'[^']*'", r'"(?:[^"\\]|\\.)*"'
# Comments and texts are read as a whole, so that nothing inside of them is taken for a call.
_SH = re.compile(rf"(?<!\S)#[^\n]*|{_SINGLE}|{_DOUBLE}|(?<![\w-])({'|'.join(_SH_CALLS)})(?= )", re.DOTALL)
_ARGUMENT = re.compile(rf"(?:[ \t]|\\\n)+(?:({_SINGLE}|{_DOUBLE})(?=[\s;)}}])|([\w./$]+)(?=[\s;)}}]))", re.DOTALL)
_MORE = re.compile(r"""(?:[ \t]|\\\n)+(?!\\|\|\||&&|[;)}<>#]|\d?>|$)\S""")
_POWERSHELL_CALLS = (
    *("Write-Message", "Write-Step", "Stop-Here", "Add-Problem", "Get-Text"),
    *("Write-Warned", "Stop-Script", "Stop-Usage", "Stop-Gone"),  # of the host's commands
)
_PS_SINGLE, _PS_DOUBLE = r"'(?:[^']|'')*'", r'"(?:[^"`]|`.)*"'
_POWERSHELL = re.compile(
    rf"(?<!\S)#[^\n]*|{_PS_SINGLE}|{_PS_DOUBLE}|(?<![\w-])({'|'.join(_POWERSHELL_CALLS)})(?= )", re.DOTALL
)
_POWERSHELL_ARGUMENT = re.compile(
    rf"(?: +|`\n)+(?:({_PS_SINGLE}|{_PS_DOUBLE})(?=[\s;)}}])|([\w$]+)(?=[\s;)}}]))", re.DOTALL
)
_POWERSHELL_MORE = re.compile(r"(?: +|`\n)+(?![`;)}|#-]|$)\S")
_POWERSHELL_VARIABLE = re.compile(r"\$\(\$site\.([A-Za-z]+)\)|\$(?:([A-Za-z_]+)|\{([A-Za-z_]+)\})")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]+)|\{([A-Za-z_]+)\})")


def of_sh(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, template, and why it cannot be translated, empty when it can."""
    for found in _SH.finditer(source):
        if not found[1]:
            continue
        at, line = found.end(), source.count("\n", 0, found.start()) + 1
        while argument := _ARGUMENT.match(source, at):
            at = argument.end()
            if argument[1] and _has_words(argument[1]):
                yield line, *_template(argument[1])
        if _MORE.match(source, at):
            yield line, "", f"{found[1]}: an argument is no text in quotes of its own"


def of_powershell(source: str) -> Iterator[tuple[int, str, str]]:
    """The same for PowerShell, in which an entry of the table `$site` may be filled in as well."""
    for found in _POWERSHELL.finditer(source):
        if not found[1]:
            continue
        at, line = found.end(), source.count("\n", 0, found.start()) + 1
        while argument := _POWERSHELL_ARGUMENT.match(source, at):
            at = argument.end()
            if argument[1]:
                yield line, *_powershell_template(argument[1])
        if _POWERSHELL_MORE.match(source, at):
            yield line, "", f"{found[1]}: an argument is no text in quotes of its own"


def _powershell_template(quoted: str) -> tuple[str, str]:
    text = quoted[1:-1]
    plain = _POWERSHELL_VARIABLE.sub("", text)
    if "{" in plain or "}" in plain:
        return text, "braces in the text"
    if quoted.startswith("'"):
        return text.replace("''", "'"), ""
    if re.search(r"(?<!`)\$", plain):
        return text, "only plain variables and entries of $site can be filled in: give what varies a name before"
    template = _POWERSHELL_VARIABLE.sub(
        lambda name: f"{{site_{name[1]}}}" if name[1] else f"{{{name[2] or name[3]}}}", text
    )
    return re.sub(r"`(.)", lambda escaped: {"n": "\n"}.get(escaped[1], escaped[1]), template), ""


def _has_words(quoted: str) -> bool:
    """Whether there is more in it than one variable, as where a function hands its argument on."""
    return not re.fullmatch(r'"\$(?:\w+|\{\w+:-\})"', quoted)


def _template(quoted: str) -> tuple[str, str]:
    text = quoted[1:-1]
    if "{" in _VARIABLE.sub("", text) or "}" in _VARIABLE.sub("", text):
        return text, "braces in the text"
    if quoted.startswith("'"):
        return text, ""
    if re.search(r"(?<!\\)[$`]", _VARIABLE.sub("", text)):
        return text, "only plain variables can be filled in: give what varies a name before"
    template = _VARIABLE.sub(lambda name: f"{{{name[1] or name[2]}}}", text)
    return re.sub(r'\\([\\"$`])', r"\1", template), ""
