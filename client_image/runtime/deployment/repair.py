"""repair: what the host's timer calls. What is missing is made, what differs is replaced, what ails is helped."""

from __future__ import annotations

from dataclasses import replace as changed

from runtime.deployment.choice import bring, go_to_history, standing
from runtime.deployment.decisions import Act, Condition, decide
from runtime.deployment.facts import Container
from runtime.deployment.gate import wait_healthy
from runtime.deployment.looking import Seen, look, remember, situation
from runtime.deployment.outcomes import DeployError, Result
from runtime.deployment.quiet import quiet
from runtime.deployment.recovery import recover
from runtime.deployment.site import Site
from runtime.deployment.spec import STOP_S
from runtime.deployment.swap import pause_watchtower, replace


def repair(site: Site) -> Result:
    """What the host's timer calls."""
    mended = recover(site)
    if mended is not None and mended.reason in ("restored", "broken"):
        return mended
    seen = look(site, None)
    plan = decide(situation(site, seen))
    if plan.act not in (Act.NOTHING, Act.REMEMBER, Act.WAIT, Act.GIVE_UP):
        _fetch(site, seen, plan.act)
        # Watchtower may be at work on this very container; once it is out of the way, what is seen is what is.
        pause_watchtower(site)
        seen = look(site, None)
        plan = decide(situation(site, seen))
    result = _act(site, seen, plan.act, plan.why)
    return mended if mended is not None and result.reason == "unchanged" else result


def _fetch(site: Site, seen: Seen, act: Act) -> None:
    """What is to be pulled, while everything still runs. Raises DeployError when it cannot be had and nothing ails."""
    if act in (Act.REPLACE, Act.CREATE):
        try:
            bring(site, seen.container)
        except DeployError:
            if seen.condition is Condition.HEALTHY:
                raise


def _act(site: Site, seen: Seen, act: Act, why: str) -> Result:
    container = seen.container
    if act is Act.WAIT:
        return Result("waiting", f"{why}; looked at again by the next repair")
    if act in (Act.NOTHING, Act.REMEMBER):
        image = site.engine.image(container.image_id) if container else None
        if image is not None:
            remember(site, image, pin=site.memory.records.pinned)
        return Result("unchanged", f"{site.names.runtime} {why}")
    if act is Act.GIVE_UP:
        return _give_up(site, seen, why)
    site.tell("repairing", why)
    if act is Act.ROLL_BACK:
        return go_to_history(site, container.image_id if container else "", verb="repair", why=why)
    site.memory.keep(site.memory.records.tried(site.now()))
    if act in (Act.START, Act.RESTART) and container is not None:
        return _start(site, container, act, why)
    return _replace(site, seen, why)


def _replace(site: Site, seen: Seen, why: str) -> Result:
    container = seen.container
    try:
        target = standing(site, container)
    except DeployError:
        if container is None or seen.condition is Condition.HEALTHY:
            raise
        # What it should become cannot be had; as it is, it may run again.
        return _start(site, container, Act.START if seen.condition is Condition.STOPPED else Act.RESTART, why)
    result = replace(site, target, verb="repair", reason="repaired")
    return changed(result, message=f"{why}: {result.message}") if result.reason == "repaired" else result


def _start(site: Site, container: Container, act: Act, why: str) -> Result:
    """Started again as it is; when that does not help an image that was never healthy, the last healthy one takes over."""
    try:
        if act is Act.START:
            site.engine.start(container.id)
        else:
            with quiet(site):
                site.engine.restart(container.id, STOP_S)
        verdict = wait_healthy(site, container.id, site.options.health_timeout)
        text, log = verdict.text, verdict.log
        if verdict.healthy:
            return Result("repaired", f"{why}; it was started again and is healthy")
    except DeployError as error:
        if error.reason == "run_in_progress":
            raise
        text, log = error.message, ""
    records = site.memory.records
    if not records.known(container.image_id) and records.before(container.image_id):
        return go_to_history(site, container.image_id, verb="repair", why=f"{why}, and starting it did not help")
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
