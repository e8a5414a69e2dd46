"""repair: what the host's timer calls. Observe, decide (repair_rules), carry out."""

from __future__ import annotations

from dataclasses import replace

from contracts.stop_times import CONTAINER_STOP_S
from contracts.text import say
from runtime.deployment import watchtower
from runtime.deployment.deployment import REPAIR_WAIT_S, Deployment
from runtime.deployment.engine import Container
from runtime.deployment.health import (
    LOG_LINES,
    PATIENT_PROBE_S,
    Observation,
    assess,
    observe,
    record_healthy,
    wait_healthy,
)
from runtime.deployment.interruptions import describe_runs, drain_runs, runs_at_work
from runtime.deployment.recovery import recover
from runtime.deployment.repair_rules import Condition, Remedy, RepairDecision, cause_of, decide
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.update import (
    last_healthy_image,
    pull_if_changed,
    replace_runtime,
    roll_back,
    target_image,
)

_CHANGE_NOTHING = (Remedy.NOTHING, Remedy.REMEMBER, Remedy.WAIT, Remedy.GIVE_UP)
_STOP_RUNTIME = (Remedy.REPLACE, Remedy.RESTART, Remedy.ROLL_BACK)


def repair(deployment: Deployment) -> Result:
    """Raises DeployError."""
    recovered = recover(deployment)
    if recovered is not None and recovered.reason in ("restored", "broken"):
        return recovered
    seen, decision = _observe_and_decide(deployment)
    if decision.remedy not in _CHANGE_NOTHING:
        if waiting := _wait_for_runs(deployment, decision):
            return waiting
        if decision.remedy in (Remedy.REPLACE, Remedy.CREATE):
            _pull_while_running(deployment, seen)
        # Watchtower may be working on this very container: once it is paused, what is observed stays true.
        watchtower.pause(deployment)
        seen, decision = _observe_and_decide(deployment)
    result = _carry_out(deployment, seen, decision)
    return recovered if recovered is not None and result.reason == "unchanged" else result


def _observe_and_decide(deployment: Deployment) -> tuple[Observation, RepairDecision]:
    seen = observe(deployment, probe_s=PATIENT_PROBE_S)
    return seen, decide(assess(deployment, seen))


def _wait_for_runs(deployment: Deployment, decision: RepairDecision) -> Result | None:
    """Runs at work are left to end, by a later repair if need be: nothing is stopped, and no attempt is counted."""
    asked_to_wait = deployment.options.force or deployment.options.wait > REPAIR_WAIT_S
    if decision.remedy not in _STOP_RUNTIME or asked_to_wait:
        return None
    runs = runs_at_work(deployment)
    text = say(
        "{why}; to be repaired when these runs have ended: {runs}",
        why=decision.why,
        runs=describe_runs(runs),
    )
    return Result("waiting", text) if runs else None


def _pull_while_running(deployment: Deployment, seen: Observation) -> None:
    """Raises DeployError when a newly configured image is not available and the runtime is healthy."""
    try:
        pull_if_changed(deployment, seen.container)
    except DeployError:
        if seen.condition is Condition.HEALTHY:
            raise


def _carry_out(deployment: Deployment, seen: Observation, decision: RepairDecision) -> Result:
    why = decision.why
    match decision.remedy:
        case Remedy.WAIT:
            return Result("waiting", say("{why}; the next repair checks it again", why=why))
        case Remedy.NOTHING | Remedy.REMEMBER:
            record_healthy(deployment, seen, pin=deployment.records.pinned)
            return Result("unchanged", say("{runtime} {state}", runtime=deployment.names.runtime, state=why))
        case Remedy.GIVE_UP:
            return _give_up(deployment, seen, why)
        case Remedy.ROLL_BACK:
            deployment.notify("repairing", why)
            return roll_back(deployment, seen.container, verb="repair", why=why)
        case _:
            deployment.notify("repairing", why)
            return _attempt(deployment, seen, decision)


def _attempt(deployment: Deployment, seen: Observation, decision: RepairDecision) -> Result:
    """Create, start, restart or replace, counted as one attempt of this hour. One that helped counts for its cause only."""
    attempts = deployment.records.attempts
    deployment.record_file.save(deployment.records.with_attempt(deployment.now()))
    try:
        result = _act(deployment, seen, decision)
    except DeployError as error:
        if error.reason == "run_in_progress":
            deployment.record_file.change(attempts=attempts)  # nothing was tried
        raise
    if result.exit_code == 0 and _helped(deployment):
        cause = cause_of(seen.condition, seen.drift)
        deployment.record_file.save(deployment.records.with_success(cause, deployment.now()))
    return result


def _act(deployment: Deployment, seen: Observation, decision: RepairDecision) -> Result:
    if seen.container is None:
        return _create(deployment, decision.why)
    if decision.remedy in (Remedy.START, Remedy.RESTART):
        return _start(deployment, seen.container, decision.remedy, decision.why)
    return _replace(deployment, seen, seen.container, decision.why)


def _helped(deployment: Deployment) -> bool:
    """Whether the runtime is now as it should be. Where the engine does not tell, nothing is known to have helped."""
    try:
        seen = observe(deployment)
    except DeployError:
        return False
    return seen.condition is Condition.HEALTHY and not seen.drift


def _create(deployment: Deployment, why: str) -> Result:
    """Nothing runs: the image that should, else the last healthy one."""
    try:
        result = replace_runtime(deployment, target_image(deployment, None), verb="repair", reason="repaired")
    except DeployError as error:
        result = as_result(error)
    if result.reason in ("candidate_unhealthy", "image_unavailable"):
        last = last_healthy_image(deployment)
        if last is not None:
            notes = (say("{reason}: {message}", reason=result.reason, message=result.message),)
            result = replace(replace_runtime(deployment, last, verb="repair", reason="repaired"), notes=notes)
    return _with_cause(why, result)


def _replace(deployment: Deployment, seen: Observation, container: Container, why: str) -> Result:
    try:
        target = target_image(deployment, container)
    except DeployError:
        if seen.condition is Condition.HEALTHY:
            raise
        # The image that it should run is not available; with the one that it has it may run again.
        remedy = Remedy.START if seen.condition is Condition.STOPPED else Remedy.RESTART
        return _start(deployment, container, remedy, why)
    return _with_cause(why, replace_runtime(deployment, target, verb="repair", reason="repaired"))


def _with_cause(why: str, result: Result) -> Result:
    return (
        replace(result, message=say("{why}: {message}", why=why, message=result.message))
        if result.reason == "repaired"
        else result
    )


def _start(deployment: Deployment, container: Container, remedy: Remedy, why: str) -> Result:
    """Start the container as it is. If an image that has not proved itself ends at once, the last healthy one takes over."""
    final = True
    try:
        if remedy is Remedy.START:
            deployment.engine.start(container.id)
        else:
            with drain_runs(deployment):
                deployment.engine.restart(container.id, CONTAINER_STOP_S)
        health = wait_healthy(deployment, container.id)
        text, log, final = health.text, health.log, health.final
        if health.healthy:
            return Result("repaired", say("{why}; it was started again and is healthy", why=why))
    except DeployError as error:
        if error.reason == "run_in_progress":
            raise
        text, log = error.message, ""
    records = deployment.records
    if final and not records.proved(container.image_id) and records.before(container.image_id):
        return roll_back(deployment, container, verb="repair", why=say("{why}, and starting it did not help", why=why))
    advice = say("read `docker logs {runtime}`; the next repair tries again", runtime=deployment.names.runtime)
    return Result(
        "broken", say("{why}; it was started again and is not healthy: {how}", why=why, how=text), advice, log=log
    )


def _give_up(deployment: Deployment, seen: Observation, why: str) -> Result:
    update = deployment.names.wrapper("update-image")
    advice = say("correct the cause, then run {update}; the repair tries again in an hour", update=update)
    if seen.condition is Condition.HEALTHY:
        return Result(
            "failed", say("not as specified, and repairs within the last hour did not help: {why}", why=why), advice
        )
    log = deployment.engine.logs(deployment.names.runtime, LOG_LINES).strip()
    return Result("broken", why, advice, log=log)
