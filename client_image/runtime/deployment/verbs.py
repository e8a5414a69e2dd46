"""apply, repair, rollback, resume and status: each from what it observes to a Result. Called by runtime.deploy, under the lock.

Whatever happened to the runtime, Watchtower, the host's commands and the report are brought up to date at the end, so that a host
always keeps what brings its next update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from contracts.text import say
from runtime.deployment import report, watchtower
from runtime.deployment.deployment import Deployment
from runtime.deployment.health import observe, record_healthy
from runtime.deployment.host_files import write_proxy_logins, write_wrappers
from runtime.deployment.recovery import recover
from runtime.deployment.repair import repair
from runtime.deployment.repair_rules import Condition
from runtime.deployment.results import UNEVENTFUL, DeployError, Result, as_result
from runtime.deployment.update import TargetImage, replace_runtime, roll_back


def run(deployment: Deployment, verb: str) -> tuple[Result, dict[str, Any]]:
    """The result and the report. Only ``status`` changes nothing. Raises DeployError from ``status`` only."""
    if verb == "status":
        return _status(deployment)
    try:
        write_proxy_logins(deployment.folders.etc, deployment.web_proxies.logins())
        result = _WORK[verb](deployment)
    except DeployError as error:
        result = as_result(error)
    except OSError as error:
        # Everything that is written here is small: the disk is full or read-only.
        result = Result("failed", f"{error}", say("free space on the disk of this host, then try again"))
    return conclude(deployment, verb, result)


def apply(deployment: Deployment, *, resuming: bool = False) -> Result:
    """The image that the tag names on this host, as specified."""
    recovered = recover(deployment)
    pin = deployment.records.pinned
    if pin is not None and not (resuming or deployment.options.force):
        raise DeployError(
            "pinned",
            say(
                "pinned to {reference} since {at} UTC: {why}",
                reference=pin.reference,
                at=f"{pin.at:%Y-%m-%d %H:%M}",
                why=pin.why,
            ),
            say("{wrapper} --resume removes the pin and updates", wrapper=deployment.names.wrapper("update-image")),
        )
    reference = str(deployment.settings.image)
    image = deployment.engine.image(reference)
    if image is None:
        raise DeployError(
            "image_unavailable",
            say("{reference} is not on this host", reference=reference),
            say("docker pull {reference}", reference=reference),
        )
    seen = observe(deployment, image, reference)
    if seen.condition is Condition.HEALTHY and not seen.drift:
        record_healthy(deployment, seen, pin=None)
        return recovered or Result(
            "unchanged",
            say("{runtime} runs {reference} as specified", runtime=deployment.names.runtime, reference=reference),
        )
    target = TargetImage(image, reference, None)
    return replace_runtime(deployment, target, verb="resume" if resuming else "apply", reason="updated")


def resume(deployment: Deployment) -> Result:
    """As apply. The pin is removed only once the tag's image runs: it stays while the tag is still bad."""
    return apply(deployment, resuming=True)


def rollback(deployment: Deployment) -> Result:
    """To the last healthy image before the current one, which is then pinned."""
    recover(deployment)
    return roll_back(deployment, deployment.runtime(), verb="rollback", why=say("asked for by an operator"))


_WORK: dict[str, Callable[[Deployment], Result]] = {
    "apply": apply,
    "repair": repair,
    "rollback": rollback,
    "resume": resume,
}


def conclude(deployment: Deployment, verb: str, result: Result) -> tuple[Result, dict[str, Any]]:
    """What every verb ends with: Watchtower, commands, report."""
    notes = [*result.notes, *filter(None, (deployment.record_file.notice,))]
    if verb != "repair":  # the timer would repeat it every five minutes
        notes += (*deployment.settings.notes, *deployment.web_proxies.notes)
    deployment.defer_signals()
    if result.exit_code and not _installed(deployment):
        return replace(result, notes=tuple(notes)), {}  # nothing is installed, and nothing is left behind
    try:
        tower = watchtower.ensure(deployment)
        if tower.changed and result.reason == "unchanged":
            result = Result("repaired", tower.changed)
    except DeployError as error:
        tower = watchtower.state(deployment)
        if result.exit_code == 0:
            result = replace(
                as_result(error),
                message=say(
                    "{message} ({reason}: {before})", message=error.message, reason=result.reason, before=result.message
                ),
            )
        else:
            notes.append(error.message)
    written, problems = write_wrappers(
        deployment.folders.image, deployment.folders.bin, deployment.names, deployment.system
    )
    if written:
        deployment.notify("wrappers", say("written: {files}", files=", ".join(written)))
        if result.reason == "unchanged":
            result = Result("repaired", say("commands were written again: {written}", written=", ".join(written)))
    notes += problems
    content: dict[str, Any] = {}
    try:
        _remove_unused_images(deployment)
        report.ask_tag(deployment, always=verb != "repair" or result.reason not in UNEVENTFUL)
        report.record_last(deployment, verb, result)
        content = report.build(deployment, tower)
        report.hand_in(deployment, content)
    except (DeployError, OSError) as error:
        notes.append(say("the report could not be written: {error}", error=error))
    return replace(result, notes=tuple(notes)), content


def _installed(deployment: Deployment) -> bool:
    try:
        return deployment.engine.container(deployment.names.runtime) is not None
    except DeployError:
        return False


def _remove_unused_images(deployment: Deployment) -> None:
    """Images of ours that nothing needs any more: refused ones, and healthy ones older than the last two."""
    records, engine = deployment.records, deployment.engine
    container, tagged = deployment.runtime(), engine.image(str(deployment.settings.image))
    needed = {one.image_id for one in records.healthy[:2]} | {records.current}
    needed |= {container.image_id if container else "", tagged.id if tagged else ""}
    needed |= {records.pinned.image_id if records.pinned else ""}
    left = tuple(
        image_id
        for image_id in records.retired
        if image_id in needed or not (engine.image(image_id) is None or engine.remove_image(image_id))
    )
    if left != records.retired:
        deployment.record_file.change(retired=left)


def _conditions(deployment: Deployment) -> list[str]:
    """Under what conditions this host is updated and reaches the Internet, where they are not the usual ones."""
    settings, proxies = deployment.settings, deployment.web_proxies
    update = deployment.names.wrapper("update-image")
    notes: list[str] = []
    if settings.image.digest:
        notes.append(say("FLAGEEMONITOR_IMAGE names a digest: no update is taken until it names another image"))
    elif not settings.auto_update:
        notes.append(say("automatic updates are off; {command} updates", command=update))
    elif settings.update_window:
        zone = ZoneInfo(settings.zone)
        now = deployment.now().astimezone(zone)
        window, time = settings.update_window, f"{now:%H:%M}"
        notes.append(
            say("Watchtower may update from {window} ({zone}), and now at {time}", window=window, zone=zone, time=time)
            if window.is_open(now, zone)
            else say(
                "Watchtower may update from {window} ({zone}), not now at {time}", window=window, zone=zone, time=time
            )
        )
    for proxy in proxies.proxies:
        notes.append(
            say("HTTP proxy {address} with a login ({source})", address=proxy.address, source=proxies.source)
            if proxy.login
            else say("HTTP proxy {address} ({source})", address=proxy.address, source=proxies.source)
        )
    return [*notes, *proxies.notes]


def _status(deployment: Deployment) -> tuple[Result, dict[str, Any]]:
    seen = observe(deployment)
    tower = watchtower.state(deployment)
    content = report.build(deployment, tower)
    content |= {"condition": seen.condition.value, "drift": list(seen.drift)}
    records = deployment.records
    notes = [*filter(None, (deployment.record_file.notice,)), *deployment.settings.notes, *_conditions(deployment)]
    notes += (say("drift: {difference}", difference=one) for one in seen.drift)
    if records.pinned:
        notes.append(say("pinned to {reference}: {why}", reference=records.pinned.reference, why=records.pinned.why))
    if records.behind_since:
        notes.append(
            say(
                "behind {digest} since {since} UTC",
                digest=records.tag.digest,
                since=f"{records.behind_since:%Y-%m-%d %H:%M}",
            )
        )
    if records.last:
        notes.append(
            say(
                "last: {verb}, {reason}, {message}",
                verb=records.last.verb,
                reason=records.last.reason,
                message=records.last.message,
            )
        )
    entry = records.entry(seen.container.image_id) if seen.container else None
    runs = entry.label if entry else (seen.container.image_id if seen.container else "nothing")
    text = say(
        "{runtime} is {condition}, {runs}; Watchtower is {state}",
        runtime=deployment.names.runtime,
        condition=seen.condition.value,
        runs=runs,
        state=tower.state,
    )
    return Result("status", text, notes=tuple(notes)), content
