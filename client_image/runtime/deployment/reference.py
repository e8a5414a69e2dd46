"""Image references, read and written as the engine does. Pure; called by the settings, the engine and the verbs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from contracts.visible import quoted

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_HUB = ("docker.io", "index.docker.io")


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
    found = _REFERENCE.fullmatch(text)
    if found is None or len(text) > 512:
        raise ValueError(f"{quoted(text)} is not a reference to an image")
    tag, digest = found["tag"] or "", found["digest"] or ""
    return Reference(familiar(found["repository"]), tag or ("" if digest else "latest"), digest)


def familiar(repository: str) -> str:
    """As the engine writes it in RepoDigests: without the default registry and its `library/`."""
    first, slash, rest = repository.partition("/")
    if slash and first in _HUB:
        return rest.removeprefix("library/")
    return repository


def _is_domain(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()
