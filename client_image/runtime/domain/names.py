"""Host names as the fleet writes them, read as numbers: network, store, terminal, role. Used by inventories, rollout and argv.

Forms: ``<network>-LOJA001-PDV201``, visible ``<network> (LOJA001) PDV201``, ``…-SELF01``, ``…-TC1``, ``…-CONCENTRADOR``,
``<network>-PROXY``. Network codes may hold hyphens; case and padding do not count. Source: domain.md 5.1. A name with a part
that is none of these words is free: it has no terminal number and the role ``other``, which no terminal action touches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import get_args

from contracts.config import Role
from contracts.text import say
from runtime.domain.errors import UsageFault
from runtime.domain.model import NamedTerminal

RoleWords = Mapping[Role, tuple[str, ...]]
HostKey = tuple[str | int, ...]

WORDS: RoleWords = {
    "checkout": ("PDV",),
    "self_checkout": ("SELF",),
    "price_check": ("TC",),
    "concentrator": ("CONCENTRADOR",),
    "proxy": ("PROXY",),
}
PROTECTED: tuple[Role, ...] = ("concentrator", "proxy")

_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
_WITH_STORE = re.compile(r"(?P<network>.*)LOJA[ _-]*(?P<store>[0-9]{1,9})(?![0-9])(?P<rest>.*)", _FLAGS)
_STORELESS = re.compile(r"(?P<network>.*[^ _-])[ _-]+(?P<rest>(?P<word>[A-Z]+)[ _-]*[0-9]*)", _FLAGS)
_PIECE = re.compile(r"[A-Z]+|[0-9]+|[^A-Z0-9 _()-]+", _FLAGS)
_STORE = re.compile(r"\(?(?:LOJA[ _-]*)?([0-9]{1,9})\)?", _FLAGS)
_TERMINAL = re.compile(r"(?:(?P<word>PDV|SELF)[ _-]*)?(?P<number>[0-9]{1,9})", _FLAGS)

_ROLE_TAGS = (
    "role",
    "tipo_dispositivo",
    "pdv_tipo",
)  # ours, and what the first generation wrote on hosts that it created
_ROLES: tuple[Role, ...] = get_args(Role)
_TAGGED: Mapping[str, Role] = {
    **{role.upper(): role for role in _ROLES},
    "TERMINAL_CONSULTA": "price_check",
    "PDV_PADRAO": "checkout",
}


@dataclass(frozen=True, slots=True)
class HostName:
    """What a name says. ``network`` is empty when it says none; ``terminal`` is set for checkouts and self-checkouts only."""

    network: str = ""
    store: int | None = None
    terminal: int | None = None
    role: Role = "other"


@dataclass(frozen=True, slots=True, eq=False)
class _Vocabulary:
    """Roles by word in capitals, and the words that mean a concentrator. Made by :func:`_vocabulary`, one object for each set."""

    roles: Mapping[str, Role]
    concentrator: tuple[str, ...]


def parse_name(name: str, extra: RoleWords | None = None) -> HostName:
    """Total: a free name says nothing. ``extra``: a provider's own words, which never unsay the fleet's."""
    return _parsed(name, tuple(extra.items()) if extra else ())


@lru_cache(maxsize=32_768)
def _parsed(name: str, extra: tuple[tuple[Role, tuple[str, ...]], ...]) -> HostName:
    """Cached for a whole fleet, both names of ten thousand hosts: inventory, rollout and gates ask for all of them in turn."""
    said = _read(name, _vocabulary(extra))
    # "Old CONCENTRADOR LOJA9": only the fleet's own word counts there, a provider's may be part of a network's code.
    if any(word in said.network.upper() for word in WORDS["concentrator"]):
        return replace(said, terminal=None, role="concentrator")
    return said


def _read(name: str, words: _Vocabulary) -> HostName:
    if match := _WITH_STORE.fullmatch(name):
        role, terminal = _rest(match["rest"], words)
        return HostName(match["network"].strip(" _-("), int(match["store"]), terminal, role)
    match = _STORELESS.fullmatch(name)
    if match and match["word"].upper() in words.roles:
        role, terminal = _rest(match["rest"], words)
        return HostName(match["network"].strip(" _-("), None, terminal, role)
    return HostName(role=_protected(name, words) or "other")


def belongs(name: str, network: str, extra: RoleWords | None = None) -> bool:
    """False for a name that says another network. A free name says none: the inventory's groups must vouch for it."""
    said = parse_name(name, extra).network
    return not said or said.lower() == network.lower()


def host_key(name: str) -> HostKey:
    """Equal for two spellings of one host: the numbers, network and role that a whole name says, else the name without case."""
    said = parse_name(name)
    if not said.network or said.store is None or said.terminal is None:
        return (name.lower(),)
    return (said.network.lower(), said.store, said.terminal, said.role)


def role_of(
    name: str, *, display_name: str = "", tags: Iterable[tuple[str, str]] = (), extra: RoleWords | None = None
) -> Role:
    """A host's role. Any sign of a concentrator or proxy wins (W-05); then the last tag ``role``, the name, other tags.

    The visible name only protects: numbers and permissions come from the technical name, which people do not edit.
    """
    words = _vocabulary(tuple(extra.items()) if extra else ())
    named = parse_name(name, extra).role
    tagged = [(key.lower(), _tag_role(value, words)) for key, value in tags if key.lower() in _ROLE_TAGS]
    signs = {named, parse_name(display_name, extra).role, *(role for _, role in tagged)}
    for role in PROTECTED:
        if role in signs:
            return role
    ours = [role for key, role in tagged if role and key == "role"]
    said = [named] if named != "other" else []
    return next(iter((*ours[-1:], *said, *(role for _, role in tagged if role))), "other")


def parse_store(text: str) -> int:
    """``LOJA001``, ``001`` or ``1``; raises UsageFault."""
    return int(
        _matched(
            _STORE, text, "bad_store", say("{text} is not a store", text=text), say("write it as LOJA001, 001 or 1")
        )[1]
    )


def parse_terminal(text: str) -> int | NamedTerminal:
    """``PDV201``, ``SELF01`` or ``201``; raises UsageFault."""
    match = _matched(
        _TERMINAL,
        text,
        "bad_terminal",
        say("{text} is not a terminal", text=text),
        say("write it as PDV201, SELF01 or 201"),
    )
    number = int(match["number"])
    return NamedTerminal(match["word"].upper(), number) if match["word"] else number


def carries(name: str, word: str, role: Role) -> bool:
    """Whether a terminal's name says PDV, or SELF; one that says both carries either. Where it says neither (a provider's own
    words), its role decides."""
    match = _WITH_STORE.fullmatch(name) or _STORELESS.fullmatch(name)
    said = {piece.upper() for piece in _PIECE.findall(match["rest"] if match else "")}
    return word in (said & {"PDV", "SELF"} or {"SELF" if role == "self_checkout" else "PDV"})


def _matched(pattern: re.Pattern[str], text: str, reason: str, message: str, advice: str) -> re.Match[str]:
    match = pattern.fullmatch(text.strip())
    if match is None:
        raise UsageFault(reason, message, advice)
    return match


@lru_cache(maxsize=4096)
def _rest(rest: str, words: _Vocabulary) -> tuple[Role, int | None]:
    """Role and number of what follows the network and store. One strange piece (PDV201-PRINTER) and it is no terminal. Cached,
    because every store has the same few."""
    if protected := _protected(rest, words):
        return protected, None
    pieces = [piece.upper() for piece in _PIECE.findall(rest)]
    numbers = [piece for piece in pieces if "0" <= piece[0] <= "9"]
    roles = {words.roles.get(piece, "other") for piece in pieces if piece not in numbers}
    if roles == {"checkout", "self_checkout"}:
        roles = {"self_checkout"}
    if len(roles) != 1 or len(numbers) > 1 or any(len(number) > 9 for number in numbers):
        return "other", None
    role = roles.pop()
    terminal = int(numbers[0]) if numbers and role in ("checkout", "self_checkout") else None
    return role, terminal


def _protected(text: str, words: _Vocabulary) -> Role | None:
    """A concentrator's word counts wherever it stands; a proxy's only as a word of its own."""
    upper = text.upper()
    if any(word in upper for word in words.concentrator):
        return "concentrator"
    return "proxy" if any(words.roles.get(piece) == "proxy" for piece in _PIECE.findall(upper)) else None


@lru_cache(maxsize=4096)
def _tag_role(value: str, words: _Vocabulary) -> Role | None:
    upper = value.strip().upper().replace("-", "_").replace(" ", "_")
    return _TAGGED.get(upper) or words.roles.get(upper)


@lru_cache(maxsize=64)
def _vocabulary(extra: tuple[tuple[Role, tuple[str, ...]], ...]) -> _Vocabulary:
    added = {word.upper(): role for role, words in extra for word in words}
    roles = {**added, **{word: role for role, words in WORDS.items() for word in words}}
    return _Vocabulary(roles, tuple(word for word, role in roles.items() if role == "concentrator"))
