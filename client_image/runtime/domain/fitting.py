"""What an action on each kind of subject may declare, and what its stages may hold. Pure.

Mistakes in a declaration are found when the catalogue is built; what only a decision shows is found before the stage is begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from contracts.text import all_of, say

if TYPE_CHECKING:
    from runtime.domain.action import Action, Confirm, Stage, StepKind, Target

STEPS: Mapping[Target, tuple[StepKind, ...]] = {
    "terminal": ("script", "file"),
    "concentrator": ("rows",),
    "network": ("call",),
}
# The first is what an action has that declares none.
CONFIRMS: Mapping[Target, tuple[Confirm, ...]] = {
    "terminal": ("state", "gone"),
    "concentrator": ("receipt",),
    "network": ("state",),
}


def misfits(action: Action) -> Iterator[str]:
    """Each part of a declaration that does not fit the action's target, with what to change."""
    target = action.target
    if target == "terminal":
        if action.queries:
            yield "a terminal is observed by a script: declare `observe` instead of `queries`, or change its target"
    else:
        if action.observe:
            yield f"`observe` is a script, and nobody logs in to a {target}: declare `queries` instead, or change its target"
        if action.needs_root:
            yield f"nobody logs in to a {target}: leave `needs_root` out"
    if target == "concentrator" and action.roles != {"concentrator"}:
        yield "an action on concentrators declares roles=frozenset({'concentrator'})"
    if target == "concentrator" and action.effect != "read":
        yield "nothing is written to a concentrator: its effect is `read`"
    if target == "network" and action.roles:
        yield "a network has no role: declare roles=frozenset()"
    for kind in action.steps:
        if kind not in STEPS[target]:
            yield _other(f"no {target} takes {kind} steps", "steps", kind, target, STEPS)
    for confirm in action.confirms:
        if confirm not in CONFIRMS[target]:
            yield _other(f"no {target} gives a proof by {confirm}", "confirms", confirm, target, CONFIRMS)


def _other(what: str, field: str, value: str, target: Target, table: Mapping[Target, tuple[str, ...]]) -> str:
    fitting = " or ".join(one for one, values in table.items() if value in values)
    return f"{what}: `{field}` may name {', '.join(table[target])}; or change its target to {fitting}"


def misfit(action: Action, stage: Stage) -> str:
    """Why a stage must not be applied, whatever the gates say; empty when it fits its action and subject."""
    target, kinds = action.target, {step.kind for step in stage.steps}
    if action.effect == "read" and kinds != {"rows"}:
        return say("{action} only reads, but asked to apply {stage}", action=action.name, stage=stage.name)
    if other := sorted(kinds - {*(action.steps or STEPS[target])}):
        return say(
            "{stage} has {kinds} steps, which {action} does not declare for a {target}",
            stage=stage.name,
            kinds=all_of(other),
            action=action.name,
            target=target,
        )
    if stage.confirm not in CONFIRMS[target]:
        return say(
            "{stage} asks for a {proof}, which no {target} gives", stage=stage.name, proof=stage.confirm, target=target
        )
    if stage.confirm not in (action.confirms or CONFIRMS[target][:1]):
        return say(
            "{stage} is confirmed by {proof}, which {action} does not declare in `confirms`",
            stage=stage.name,
            proof=stage.confirm,
            action=action.name,
        )
    return ""
