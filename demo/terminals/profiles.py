"""What the simulated terminals are, as data: reads `profiles.yaml` into frozen objects.

Called by the command line, by `fleet`, and by tests that write a profile file of their own. The models are the format of the
file; a mistake in it is a pydantic `ValidationError` that names the path of the wrong value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.visible import quoted

DEFAULT_PROFILES = Path(__file__).with_name("profiles.yaml")
SHIMS = Path(__file__).with_name("shims")


class Behaviour(StrEnum):
    """How a terminal meets a connection."""

    NORMAL = "normal"
    OFF = "off"  # nothing listens
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 -- it listens, but what the customer noted down does not open it
    HANGS = "hangs"  # accepts and never says a word
    FLOOD = "flood"  # lets anyone in, answers every command with a hundred megabytes of rubbish


class Privilege(StrEnum):
    """How the login user becomes root."""

    ROOT = "root"  # is root already
    PASSWORD = "password"  # noqa: S105 -- sudo asks for the login password
    NOPASSWD = "nopasswd"
    NONE = "none"  # sudo is there and refuses this user


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Model):
    """One path of a terminal's tree: a file with `text`, a copy of a `zone` file, a `link`, or a folder."""

    text: str | None = None
    zone: str | None = None
    link: str | None = None
    folder: bool = False
    mode: Annotated[str, Field(pattern="^[0-7]{3,4}$")] | None = None  # octal, as chmod takes it

    @model_validator(mode="after")
    def _one_kind(self) -> "Node":
        if (self.text is not None) + (self.zone is not None) + (self.link is not None) + self.folder != 1:
            raise ValueError("say exactly one of text, zone, link or folder")
        return self


Files = dict[str, Node]


def _a_shim(name: str) -> str:
    if not (SHIMS / name).is_dir():
        raise ValueError(
            f"no tool {quoted(name)}; there are: {', '.join(sorted(entry.name for entry in SHIMS.iterdir()))}"
        )
    return name


class System(_Model):
    """An operating system as terminals have it. `{hostname}` and `{zone}` in a node stand for the terminal's own."""

    about: str
    bits: Literal[32, 64] = 64
    ssh: Literal["modern", "openssh-5"] = "modern"
    tools: tuple[Annotated[str, AfterValidator(_a_shim)], ...] = ()
    files: Files = Field(default_factory=dict)


def _loopback(address: str) -> str:
    if not IPv4Address(address).is_loopback:
        raise ValueError("a simulated terminal lives on a loopback address, 127.x.y.z")
    return address


class Profile(_Model):
    """All that terminals of a kind share. `zone` is the time zone they start with."""

    system: System
    title: str = ""
    provider: str = "arius"
    role: Literal["checkout", "concentrator"] = "checkout"
    user: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")] = "root"
    auth: Literal["password", "keyboard", "key"] = "password"
    privilege: Privilege = Privilege.ROOT
    behaviour: Behaviour = Behaviour.NORMAL
    zone: str = "America/New_York"
    files: Files = Field(default_factory=dict)

    @model_validator(mode="after")
    def _root_is_root(self) -> "Profile":
        if (self.user == "root") != (self.privilege is Privilege.ROOT):
            raise ValueError("user root goes with privilege root, any other user with another privilege")
        return self

    @property
    def uid(self) -> int:
        """The login user's number inside the terminal."""
        return 0 if self.user == "root" else 1000

    @property
    def home(self) -> str:
        """The login user's home inside the terminal."""
        return "/root" if self.user == "root" else f"/home/{self.user}"


@dataclass(frozen=True, slots=True)
class Terminal:
    """One simulated terminal: an address on loopback and what it is like."""

    id: str
    address: str
    hostname: str
    profile: Profile


class _Entry(Profile):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    address: Annotated[str, AfterValidator(_loopback)]
    hostname: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=63)]


def load(path: Path = DEFAULT_PROFILES) -> tuple[Terminal, ...]:
    """The terminals that `path` lists, in its order. Raises `ValueError` for a file that does not describe terminals."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    systems: Mapping[str, object] = document["systems"]
    entries = [
        _Entry.model_validate({**raw, "system": _named(raw["system"], systems)}) for raw in document["terminals"]
    ]
    for what in ("id", "address"):
        values = [getattr(entry, what) for entry in entries]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{path.name}: more than one terminal has the {what} {', '.join(twice)}")
    return tuple(_terminal(entry) for entry in entries)


def _named(name: str, systems: Mapping[str, object]) -> object:
    if name not in systems:
        raise ValueError(f"no system {quoted(name)}; there are: {', '.join(systems)}")
    return systems[name]


def _terminal(entry: _Entry) -> Terminal:
    profile = Profile.model_validate({name: getattr(entry, name) for name in Profile.model_fields})
    return Terminal(entry.id, entry.address, entry.hostname, profile)


def alike(profile: Profile, count: int) -> tuple[Terminal, ...]:
    """`count` terminals of one kind, ten checkouts a store, on 127.64.0.1 and up (for benches; at most four million)."""
    first = int(IPv4Address("127.64.0.1"))
    return tuple(
        Terminal(
            f"till-{number}",
            str(IPv4Address(first + number)),
            f"BENCH-LOJA{number // 10 + 1:03d}-PDV{number % 10 + 201}",
            profile,
        )
        for number in range(count)
    )
