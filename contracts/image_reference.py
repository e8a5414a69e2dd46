"""Image references by one grammar, that of the registry API ("distribution"), for both sides and `deploy`. Pure.

``[domain[:port]/]path[:tag][@digest]``. The form below is written so that .NET reads it as Python does: install.ps1 holds it
too, and tests/cases/image_references.json drives both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from contracts.text import say

NAME_LONGEST = 255  # domain and path; tag and digest have limits of their own in the form
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(:[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
FORM = rf"({_DOMAIN}/)?{_PART}(/{_PART})*(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?"

_HEXADECIMAL = re.compile("[0-9a-f]{64}")
_HUB = ("docker.io", "index.docker.io")
ADVICE = say("give one such as registry.example.com/name:stable")


@dataclass(frozen=True, slots=True)
class Reference:
    """``repository`` in the engine's short form; a tag, a digest, or both (then the digest decides)."""

    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def registry(self) -> str:
        """The host whose credentials are meant."""
        first, slash, _ = self.repository.partition("/")
        return first if slash and _is_domain(first) else _HUB[0]

    def at(self, digest: str) -> Reference:
        """The same repository at a fixed digest: Watchtower leaves such a container alone."""
        return replace(self, tag="", digest=digest)


def parse_reference(text: str) -> Reference:
    """A reference without tag or digest means `latest`. Raises ValueError."""
    name, _, digest = text.partition("@")
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    else:
        tag = ""
    # Before the form is tried: it takes longer the longer a text is.
    if len(name) > NAME_LONGEST or len(text) > 2 * NAME_LONGEST or not re.fullmatch(FORM, text) or _is_misread(name):
        raise ValueError(say("this is not a reference to an image; {advice}", advice=ADVICE))
    return Reference(familiar(name), tag or ("" if digest else "latest"), digest)


def familiar(repository: str) -> str:
    """As the engine writes it in RepoDigests: without the default registry and its `library/`."""
    first, slash, rest = repository.partition("/")
    if slash and first in _HUB:
        return rest.removeprefix("library/")
    return repository


def _is_misread(name: str) -> bool:
    """What fits the form, and the engine takes for something else: the id of an image, or no valid domain."""
    first, slash, _ = name.partition("/")
    return bool(_HEXADECIMAL.fullmatch(name) or (slash and "." in first and "_" in first))


def _is_domain(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()
