"""apply, repair, rollback, resume and status, each from what it sees to a Result. Called by runtime.deploy, under the lock.

Whatever becomes of the runtime, Watchtower, wrappers and the report are looked after at the end, so that a host is never left
without what brings the next update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as changed
from typing import Any

from runtime.deployment import report, watchtower
from runtime.deployment.choice import go_to_history
from runtime.deployment.deployment import Site
from runtime.deployment.facts import Condition
from runtime.deployment.host_files import write_wrappers
from runtime.deployment.looking import look, remember
from runtime.deployment.recovery import recover
from runtime.deployment.repair import repair
from runtime.deployment.results import QUIET, DeployError, Result, as_result
from runtime.deployment.update import Target, replace


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
        remember(site, seen, pin=None)
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
    return go_to_history(site, site.runtime(), verb="rollback", why="asked for by an operator")


def _guarded(work: Callable[[Site], Result], site: Site) -> Result:
    """The disk's errors as ours: everything that is written here is small, so it is nearly always a full or read-only disk."""
    try:
        return work(site)
    except OSError as error:
        raise DeployError("failed", f"{error}", "free space on the disk of this host, then try again") from error


def _conclude(site: Site, verb: str, result: Result) -> tuple[Result, dict[str, Any]]:
    notes = [*result.notes, *filter(None, (site.memory.notice,))]
    if verb != "repair":  # the timer would say it every five minutes
        notes += site.settings.notes
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
    notes = [*filter(None, (site.memory.notice,)), *site.settings.notes, *(f"drift: {one}" for one in seen.differing)]
    if records.pinned:
        notes.append(f"pinned to {records.pinned.reference}: {records.pinned.why}")
    if records.behind_since:
        notes.append(f"behind {records.tag.digest} since {records.behind_since:%Y-%m-%d %H:%M} UTC")
    if records.last:
        notes.append(f"last: {records.last.verb}, {records.last.reason}, {records.last.message}")
    runs = entry.label if entry else (seen.container.image_id if seen.container else "nothing")
    text = f"{site.names.runtime} is {seen.condition.value}, {runs}; Watchtower is {tower.state}"
    return Result("status", text, notes=tuple(notes)), told
