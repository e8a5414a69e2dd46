"""What an action declares, and what its decision may be. Actions are data plus one pure function; the engine does the rest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict

from contracts.config import Effect, Role
from contracts.secret import Secret
from runtime.domain.model import Change, Host

if TYPE_CHECKING:  # no action on a terminal needs them
    from runtime.domain.deliveries import Deliver
    from runtime.domain.sources import ApiCall, Query

Target = Literal["terminal", "concentrator", "network"]
Confirm = Literal["state", "gone", "receipt"]
StepKind = Literal["script", "file", "rows", "call"]
TERMINALS: frozenset[Role] = frozenset({"checkout", "self_checkout"})


class Params(BaseModel):
    """Base of typed parameters: unknown names are refused, texts like "yes" become booleans.

    ``ADDS``: lists to which a job or the command line adds, and never takes away from what the network says. ``PROTECTS``: lists
    of hosts that are left alone. ``WINDOWS``: the parameter with the windows in which the action may work, empty: at any time.
    ``NOT_SECRET``: names that sound like a secret and hold none, as key_id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    ADDS: ClassVar[frozenset[str]] = frozenset()
    PROTECTS: ClassVar[frozenset[str]] = frozenset()
    WINDOWS: ClassVar[str] = ""
    NOT_SECRET: ClassVar[frozenset[str]] = frozenset()


def is_secret(annotation: Any) -> bool:
    """Whether a field of this type holds a secret: ``Secret``, or ``Secret | None``."""
    return annotation is Secret or any(map(is_secret, get_args(annotation)))


def secrets_of(params: type[Params]) -> frozenset[str]:
    """The names of an action's parameters that are secret."""
    return frozenset(name for name, field in params.model_fields.items() if is_secret(field.annotation))


def harmless_parameters(params: type[Params]) -> frozenset[str]:
    """The names of those whose values may be shown."""
    return frozenset(params.model_fields) - secrets_of(params)


@dataclass(frozen=True, slots=True)
class Script:
    """A POSIX sh step, run under ``set -eu`` as root. ``variables`` are assigned before it, quoted: values are never pasted."""

    kind: ClassVar[StepKind] = "script"
    name: str
    text: str
    variables: Mapping[str, str | Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put exactly ``content`` at ``path``: temporary file beside it, mode, owner, rename. ``backup``: dated copies to keep."""

    kind: ClassVar[StepKind] = "file"
    name: str
    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root:root"
    backup: int = 0


Step: TypeAlias = "Script | WriteFile | Deliver | ApiCall"


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing (more) to do. ``report`` is what the action has to tell about the host."""

    report: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The host is not as it should be, and this action cannot change that. ``code`` is recorded as detail.

    ``stage``: the stage that cannot be reached. The stages before it hold; empty says nothing about any stage.
    """

    code: str
    message: str
    report: Mapping[str, Any] = field(default_factory=dict)
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The action itself declines: outside its window, an exception. ``code`` is recorded as detail."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps to apply now. ``settle``: seconds that confirmation may take. ``valid_until``: never start the steps after it.

    ``why``: what the terminal itself says about why this is still needed; told when a step fails or the stage does
    not converge.
    ``changes``: what it replaces, with the values before and after; ``summary``: what it does, where that says more.
    ``watermark``: of a stage that delivers rows, up to where its source is delivered once the receipt came.
    """

    name: str
    steps: tuple[Step, ...]
    confirm: Confirm = "state"
    settle: float = 10.0
    valid_until: dt.datetime | None = None
    summary: tuple[str, ...] = ()
    why: str = ""
    changes: tuple[Change, ...] = ()
    watermark: str = ""


Decision = Done | Failed | Refused | Stage


@dataclass(frozen=True, slots=True)
class LegacyOption:
    """An option of the first generation's command line, and the parameter that it sets today. ``is_flag``: it takes no value."""

    option: str
    parameter: str
    is_flag: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """One action. On a terminal ``observe`` is a read-only POSIX sh script; its ``key=value`` lines arrive in ``Facts.observed``.
    Elsewhere ``queries`` are read, and their rows arrive in SourceFacts or NetworkFacts.

    The engine assigns every parameter to ``P_<name>`` before it (booleans yes/no, None empty), quoted. ``needs_root``: observe
    and steps run elevated. ``foresee(params, host, now)``: the part of ``decide`` that needs no facts of the terminal, for
    `schedule --explain`; ``now`` carries the network's zone. ``does``: a verb for people, as in "powers off 12 hosts".
    ``defaults``: parameters that the network's document gives, each with the dotted path of its value. ``legacy``:
    its options of the first generation. ``steps`` and ``confirms``: the kinds of steps and of proofs that its stages may have;
    empty: every step that its target takes, and the usual proof (runtime.domain.fitting). ``available`` is False for names that
    this version only knows.
    """

    name: str
    aliases: tuple[str, ...]
    version: str
    summary: str
    effect: Effect
    target: Target = "terminal"
    roles: frozenset[Role] = TERMINALS
    params: type[Params] = Params
    needs_root: bool = False
    observe: str = ""
    queries: tuple[Query, ...] = ()
    decide: Callable[[Any, Any, Host], Decision] | None = None
    foresee: Callable[[Any, Host, dt.datetime], Refused | None] | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    does: str = ""
    stages: int = 4
    steps: tuple[StepKind, ...] = ()
    confirms: tuple[Confirm, ...] = ()
    legacy: tuple[LegacyOption, ...] = ()

    @property
    def available(self) -> bool:
        return self.decide is not None
