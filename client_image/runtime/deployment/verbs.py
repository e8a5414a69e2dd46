"""apply, repair, rollback, resume and status, each from what it sees to a Result. Called by runtime.deploy, under the lock.

Whatever becomes of the runtime, Watchtower, wrappers and the report are looked after at the end, so that a host is never left
without what brings the next update.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

from runtime.deployment import report, watchtower
from runtime.deployment.decisions import Act, Condition, Situation, condition, decide
from runtime.deployment.drift import drift
from runtime.deployment.facts import Container, Image
from runtime.deployment.gate import PROBE_S, wait_healthy
from runtime.deployment.outcomes import QUIET, DeployError, Result, as_result
from runtime.deployment.quiet import quiet
from runtime.deployment.records import Healthy, Pin
from runtime.deployment.recovery import recover
from runtime.deployment.site import HEALTH_COMMAND, Site
from runtime.deployment.spec import STOP_S
from runtime.deployment.swap import Target, pause_watchtower, replace
from runtime.deployment.wrappers import write_wrappers


@dataclass(frozen=True, slots=True)
class Seen:
    """The runtime as it is now. ``differing``: what is not as specified, the image that it should run included."""

    container: Container | None
    condition: Condition
    differing: tuple[str, ...]


def run(site: Site, verb: str) -> tuple[Result, dict[str, Any]]:
    """The result and the report. Only ``status`` changes nothing."""
    if verb == "status":
        return _status(site)
    work: Callable[[Site], Result] = {"apply": apply, "repair": repair, "rollback": rollback, "resume": resume}[verb]
    try:
        result = _guarded(work, site)
    except DeployError as error:
        result = as_result(error)
    return _conclude(site, verb, result)


def apply(site: Site, *, resuming: bool = False) -> Result:
    """The image that the tag names on this host, as specified."""
    mended = recover(site)
    pin = site.memory.records.pinned
    if pin is not None and not (resuming or site.options.force):
        raise DeployError(
            "pinned",
            f"pinned to {pin.reference} since {pin.at:%Y-%m-%d %H:%M} UTC: {pin.why}",
            f"{site.names.wrapper('update-image')} --resume takes the pin away and updates",
        )
    reference = str(site.settings.image)
    image = site.engine.image(reference)
    if image is None:
        raise DeployError("image_unavailable", f"{reference} is not on this host", f"docker pull {reference}")
    target = Target(image, reference, None)
    seen = look(site, target)
    if seen.condition is Condition.HEALTHY and not seen.differing:
        _remember(site, image, pin=None)
        if mended is not None:
            return mended
        return Result("unchanged", f"{site.names.runtime} runs {reference} as specified")
    return replace(site, target, verb="resume" if resuming else "apply", reason="updated")


def resume(site: Site) -> Result:
    """The pin goes only once the tag's image runs: a tag that is still bad leaves it in place."""
    return apply(site, resuming=True)


def rollback(site: Site) -> Result:
    """To the last healthy image before the current one, and stay there."""
    recover(site)
    container = site.runtime()
    now_id = container.image_id if container else ""
    return _back(site, now_id, verb="rollback", why="asked for by an operator")


def repair(site: Site) -> Result:
    """What the host's timer calls."""
    mended = recover(site)
    if mended is not None and mended.reason in ("restored", "broken"):
        return mended
    seen = look(site, None)
    plan = decide(_situation(site, seen))
    if plan.act not in (Act.NOTHING, Act.REMEMBER, Act.WAIT, Act.GIVE_UP):
        # Watchtower may be at work on this very container; once it is out of the way, what is seen is what is.
        pause_watchtower(site)
        seen = look(site, None)
        plan = decide(_situation(site, seen))
    result = _act(site, seen, plan.act, plan.why)
    return mended if mended is not None and result.reason == "unchanged" else result


def look(site: Site, target: Target | None) -> Seen:
    """``target``: what should run; None: the image that runs, or the pinned one."""
    container = site.runtime()
    probe = None
    if container is not None and container.running and not container.health:
        probe = site.engine.probe(container.name, HEALTH_COMMAND, PROBE_S)
    differing: tuple[str, ...] = ()
    if container is not None:
        pin = site.memory.records.pinned
        image_id = target.image.id if target else pin.image_id if pin else ""
        spec = site.spec(target.reference if target else "")
        differing = drift(spec, container, site.engine.image(container.image_id), image_id=image_id)
    return Seen(container, condition(container, probe, site.now()), differing)


def _situation(site: Site, seen: Seen) -> Situation:
    records = site.memory.records
    image_id = seen.container.image_id if seen.container else ""
    return Situation(
        condition=seen.condition,
        known=records.known(image_id),
        others=any(one.image_id != image_id for one in records.healthy),
        drift=seen.differing,
        attempts=len(records.recent(site.now())),
    )


def _act(site: Site, seen: Seen, act: Act, why: str) -> Result:
    container = seen.container
    if act is Act.WAIT:
        return Result("waiting", f"{why}; looked at again by the next repair")
    if act in (Act.NOTHING, Act.REMEMBER):
        image = site.engine.image(container.image_id) if container else None
        if image is not None:
            _remember(site, image, pin=site.memory.records.pinned)
        return Result("unchanged", f"{site.names.runtime} {why}")
    if act is Act.GIVE_UP:
        return _give_up(site, seen, why)
    site.tell("repairing", why)
    if act is Act.ROLL_BACK:
        return _back(site, container.image_id if container else "", verb="repair", why=why)
    site.memory.keep(site.memory.records.tried(site.now()))
    if act in (Act.START, Act.RESTART) and container is not None:
        return _start(site, container, act, why)
    target = _standing(site, container)
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
        return _back(site, container.image_id, verb="repair", why=f"{why}, and starting it did not help")
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


def _standing(site: Site, container: Container | None) -> Target:
    """What a repair makes anew: the pinned image, else the one that runs, else the last healthy one, else the tag's."""
    records = site.memory.records
    followed = site.followed()
    if records.pinned is not None:
        return Target(site.have(records.pinned.reference, records.pinned.image_id), followed, records.pinned)
    if container is not None and (image := site.engine.image(container.image_id)) is not None:
        return Target(image, followed, None)
    for entry in _current_first(site):
        with contextlib.suppress(DeployError):
            return Target(site.have(entry.reference, entry.image_id), followed, None)
    return Target(site.have(followed), followed, None)


def _current_first(site: Site) -> tuple[Healthy, ...]:
    records = site.memory.records
    current = records.entry(records.current)
    return (*((current,) if current else ()), *(one for one in records.healthy if one != current))


def _back(site: Site, image_id: str, *, verb: str, why: str) -> Result:
    """Go to the first image of the history that can be had. Raises DeployError."""
    entries = [one for one in site.memory.records.before(image_id) if one.image_id != image_id]
    if not entries:
        raise DeployError(
            "no_previous",
            "no other image was ever seen healthy on this host",
            "set FLAGEEMONITOR_IMAGE to an earlier version in the environment file, then update",
        )
    trouble: list[str] = []
    for entry in entries:
        try:
            image = site.have(entry.reference, entry.image_id)
        except DeployError as error:
            trouble.append(error.message)
            continue
        pin = Pin(reference=entry.reference, image_id=image.id, at=site.now(), why=why)
        result = replace(site, Target(image, entry.reference, pin), verb=verb, reason="rolled_back")
        if result.reason != "rolled_back":
            return result
        return changed(result, message=f"{why}: {result.message}, pinned to {entry.reference}")
    raise DeployError(
        "image_unavailable",
        f"no earlier healthy image can be had: {'; '.join(trouble)}",
        "see that this host reaches its registry; the next repair tries again",
    )


def _remember(site: Site, image: Image, *, pin: Pin | None) -> None:
    records = site.memory.records.remember(image, site.settings.image.repository, site.now())
    site.memory.keep(records.model_copy(update={"pinned": pin}))


def _guarded(work: Callable[[Site], Result], site: Site) -> Result:
    """The disk's errors as ours: everything that is written here is small, so it is nearly always a full or read-only disk."""
    try:
        return work(site)
    except OSError as error:
        raise DeployError("failed", f"{error}", "free space on the disk of this host, then try again") from error


def _conclude(site: Site, verb: str, result: Result) -> tuple[Result, dict[str, Any]]:
    notes = [*result.notes, *filter(None, (site.memory.notice,))]
    site.shield.seal()
    if result.exit_code and not _installed(site):
        return changed(result, notes=tuple(notes)), {}  # nothing is there, and nothing is left behind
    try:
        tower = watchtower.ensure(site)
        if tower.changed and result.reason == "unchanged":
            result = Result("repaired", f"Watchtower was {tower.changed}")
    except DeployError as error:
        tower = watchtower.look(site)
        if result.exit_code == 0:
            result = changed(as_result(error), message=f"{error.message} ({result.reason}: {result.message})")
        else:
            notes.append(error.message)
    names, trouble = write_wrappers(site.folders.image, site.folders.bin, site.names, site.system)
    if names:
        site.tell("wrappers", f"written: {', '.join(names)}")
        if result.reason == "unchanged":
            result = Result("repaired", f"commands were written anew: {', '.join(names)}")
    notes += trouble
    told: dict[str, Any] = {}
    try:
        _clean(site)
        report.ask_tag(site, always=verb != "repair" or result.reason not in QUIET)
        report.note_last(site, verb, result)
        told = report.picture(site, tower)
        report.hand_in(site, told)
    except (DeployError, OSError) as error:
        notes.append(f"the report could not be written: {error}")
    return changed(result, notes=tuple(notes)), told


def _installed(site: Site) -> bool:
    try:
        return site.engine.container(site.names.runtime) is not None
    except DeployError:
        return False


def _clean(site: Site) -> None:
    """Images of ours that nothing needs any more: refused ones, and healthy ones further back than the last two."""
    records = site.memory.records
    container, tagged = site.runtime(), site.engine.image(str(site.settings.image))
    needed = {one.image_id for one in records.healthy[:2]} | {records.current}
    needed |= {container.image_id if container else "", tagged.id if tagged else ""}
    needed |= {records.pinned.image_id if records.pinned else ""}
    left = tuple(one for one in records.retired if one in needed or not _gone(site, one))
    if left != records.retired:
        site.memory.save(retired=left)


def _gone(site: Site, image_id: str) -> bool:
    return site.engine.image(image_id) is None or site.engine.remove_image(image_id)


def _status(site: Site) -> tuple[Result, dict[str, Any]]:
    seen = look(site, None)
    tower = watchtower.look(site)
    told = report.picture(site, tower)
    told |= {"condition": seen.condition.value, "drift": list(seen.differing)}
    records = site.memory.records
    entry = records.entry(seen.container.image_id) if seen.container else None
    notes = [f"drift: {one}" for one in seen.differing]
    if records.pinned:
        notes.append(f"pinned to {records.pinned.reference}: {records.pinned.why}")
    if records.behind_since:
        notes.append(f"behind {records.tag.digest} since {records.behind_since:%Y-%m-%d %H:%M} UTC")
    if records.last:
        notes.append(f"last: {records.last.verb}, {records.last.reason}, {records.last.message}")
    runs = entry.label if entry else (seen.container.image_id if seen.container else "nothing")
    text = f"{site.names.runtime} is {seen.condition.value}, {runs}; Watchtower is {tower.state}"
    return Result("status", text, notes=tuple(notes)), told
