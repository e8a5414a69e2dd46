"""The longer sentences about one subject, said by :mod:`runtime.process_one`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.text import Text, joined, plural, say
from runtime.domain.action import Stage, Target
from runtime.domain.model import StepRecord
from runtime.domain.subject_record import last_line
from runtime.engine.attempts import ordinal

_SUBJECTS: Mapping[Target, Text] = {
    "terminal": say("the terminal"),
    "concentrator": say("the concentrator"),
    "network": say("the network"),
}


def connected_late(attempts: int, failure: str) -> Text:
    """``failure``: of the attempt before."""
    which = ordinal(attempts)
    return say("connected at the {ordinal} attempt; before it: {failure}", ordinal=which, failure=failure)


def lost_unconfirmed(stage: Stage, target: Target) -> Text:
    return say(
        "{stage} was applied but not confirmed: {subject} was lost before it could be looked at again",
        stage=stage.name,
        subject=_SUBJECTS[target],
    )


def read_only(stage: Stage, why: str) -> Text:
    return say(
        "{stage} is needed, but nothing can be written: {why}. Nothing was changed by this stage",
        stage=stage.name,
        why=why,
    )


def not_converged(stage: Stage, stages: int) -> Text:
    return plural(
        "Not converged: {stage} is still needed after {n} stage (the maximum)",
        "Not converged: {stage} is still needed after {n} stages (the maximum)",
        stages,
        stage=stage.name,
    )


def step_failed(stage: Stage, step: StepRecord, done: Sequence[str]) -> Text:
    """``done``: names of the steps before it."""
    said = step.output if isinstance(step.output, Text) else last_line(step.output) or say("no output")
    if step.exit_code is None:
        text = say("{stage}: {step} failed: {said}", stage=stage.name, step=step.name, said=said)
    else:
        text = say(
            "{stage}: {step} failed with exit {code}: {said}",
            stage=stage.name,
            step=step.name,
            code=step.exit_code,
            said=said,
        )
    return say("{failure}; done before it: {steps}", failure=text, steps=", ".join(done)) if done else text


def without_effect(stage: Stage, target: Target) -> str:
    """A stage that is still needed after its time to settle, with why where the stage says it."""
    text = say(
        "{stage} was applied without error, but {subject} still is not as it should be",
        stage=stage.name,
        subject=_SUBJECTS[target],
    )
    return joined((text, stage.why), ": ") if stage.why else text


def not_recorded(so_far: str, why: str) -> Text:
    return say("{so_far} because it could not be recorded first: {why}", so_far=so_far, why=why)


def host_deadline_over(so_far: str, seconds: float) -> Text:
    return say("{so_far} within the host deadline of {seconds} s", so_far=so_far, seconds=f"{seconds:.0f}")
