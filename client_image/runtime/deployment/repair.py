"""repair: what the host's timer calls. What is missing is made, what differs is replaced, what ails is helped."""

from __future__ import annotations

from dataclasses import replace as changed

from runtime.deployment.choice import bring, go_to_history, last_healthy, standing
from runtime.deployment.deployment import REPAIR_WAIT_S, Site
from runtime.deployment.facts import Condition, Container
from runtime.deployment.health import wait_healthy
from runtime.deployment.interruptions import at_work, named, quiet
from runtime.deployment.looking import PATIENT_S, Seen, look, remember, situation
from runtime.deployment.recovery import recover
from runtime.deployment.repair_rules import Act, Plan, decide
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.specification import STOP_S
from runtime.deployment.update import pause_watchtower, replace


def repair(site: Site) -> Result:
    """What the host's timer calls."""
    mended = recover(site)
    if mended is not None and mended.reason in ("restored", "broken"):
        return mended
    seen, plan = _judge(site)
    if plan.act not in (Act.NOTHING, Act.REMEMBER, Act.WAIT, Act.GIVE_UP):
        if busy := _busy(site, plan):
            return busy
        _fetch(site, seen, plan.act)
        # Watchtower may be at work on this very container; once it is out of the way, what is seen is what is.
        pause_watchtower(site)
        seen, plan = _judge(site)
    result = _act(site, seen, plan.act, plan.why)
    return mended if mended is not None and result.reason == "unchanged" else result


def _judge(site: Site) -> tuple[Seen, Plan]:
    seen = look(site, None, patience=PATIENT_S)
    return seen, decide(situation(site, seen))


def _busy(site: Site, plan: Plan) -> Result | None:
    """Runs at work are left to end: nothing is closed, stopped or counted for what has to wait anyway."""
    asked_to_wait = site.options.force or site.options.wait > REPAIR_WAIT_S
    if plan.act not in (Act.REPLACE, Act.RESTART, Act.ROLL_BACK) or asked_to_wait:
        return None
    runs = at_work(site)
    return Result("waiting", f"{plan.why}; to be mended when these runs are over: {named(runs)}") if runs else None


def _fetch(site: Site, seen: Seen, act: Act) -> None:
    """What is to be pulled, while everything still runs. Raises DeployError when it cannot be had and nothing ails."""
    if act in (Act.REPLACE, Act.CREATE):
        try:
            bring(site, seen.container)
        except DeployError:
            if seen.condition is Condition.HEALTHY:
                raise


def _act(site: Site, seen: Seen, act: Act, why: str) -> Result:
    if act is Act.WAIT:
        return Result("waiting", f"{why}; looked at again by the next repair")
    if act in (Act.NOTHING, Act.REMEMBER):
        remember(site, seen, pin=site.memory.records.pinned)
        return Result("unchanged", f"{site.names.runtime} {why}")
    if act is Act.GIVE_UP:
        return _give_up(site, seen, why)
    site.tell("repairing", why)
    if act is Act.ROLL_BACK:
        return go_to_history(site, seen.container, verb="repair", why=why)
    attempts = site.memory.records.attempts
    site.memory.keep(site.memory.records.tried(site.now()))
    try:
        return _mend(site, seen, act, why)
    except DeployError as error:
        if error.reason == "run_in_progress":
            site.memory.save(attempts=attempts)  # nothing was tried
        raise


def _mend(site: Site, seen: Seen, act: Act, why: str) -> Result:
    container = seen.container
    if container is None:
        return _create(site, why)
    if act in (Act.START, Act.RESTART):
        return _start(site, container, act, why)
    try:
        target = standing(site, container)
    except DeployError:
        if seen.condition is Condition.HEALTHY:
            raise
        # What it should become cannot be had; as it is, it may run again.
        return _start(site, container, Act.START if seen.condition is Condition.STOPPED else Act.RESTART, why)
    return _because(why, replace(site, target, verb="repair", reason="repaired"))


def _create(site: Site, why: str) -> Result:
    """Nothing runs: the image that should, else the last healthy one."""
    try:
        result = replace(site, standing(site, None), verb="repair", reason="repaired")
    except DeployError as error:
        result = as_result(error)
    if result.reason in ("candidate_unhealthy", "image_unavailable") and (last := last_healthy(site)) is not None:
        notes = (f"{result.reason}: {result.message}",)
        result = changed(replace(site, last, verb="repair", reason="repaired"), notes=notes)
    return _because(why, result)


def _because(why: str, result: Result) -> Result:
    return changed(result, message=f"{why}: {result.message}") if result.reason == "repaired" else result


def _start(site: Site, container: Container, act: Act, why: str) -> Result:
    """Started again as it is; when an image that has not proved itself ends at once, the last healthy one takes over."""
    lost = True
    try:
        if act is Act.START:
            site.engine.start(container.id)
        else:
            with quiet(site):
                site.engine.restart(container.id, STOP_S)
        verdict = wait_healthy(site, container.id, site.options.health_timeout)
        text, log, lost = verdict.text, verdict.log, verdict.lost
        if verdict.healthy:
            return Result("repaired", f"{why}; it was started again and is healthy")
    except DeployError as error:
        if error.reason == "run_in_progress":
            raise
        text, log = error.message, ""
    records = site.memory.records
    if lost and not records.proved(container.image_id) and records.before(container.image_id):
        return go_to_history(site, container, verb="repair", why=f"{why}, and starting it did not help")
    advice = f"read `docker logs {site.names.runtime}`; the next repair tries again"
    return Result("broken", f"{why}; started again it is not healthy: {text}", advice, log=log)


def _give_up(site: Site, seen: Seen, why: str) -> Result:
    advice = (
        f"mend the cause, then call {site.names.wrapper('update-image')}; in an hour the repair tries again by itself"
    )
    if seen.condition is Condition.HEALTHY:
        return Result("failed", f"not as specified, and not to be mended so far: {why}", advice)
    log = site.engine.logs(site.names.runtime, 25).strip()
    return Result("broken", why, advice, log=log)
