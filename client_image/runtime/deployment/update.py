"""Which image the runtime is to run, and how it takes the place of the old one: candidate, runs drained, swap, or back again.

Called by verbs, repair and recovery. An update that has begun is saved in the records before the old container is stopped, so
that the call after one that was killed at any step can complete or undo it (recovery).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from contracts.stop_times import CONTAINER_STOP_S
from contracts.text import joined, say
from runtime.deployment import watchtower
from runtime.deployment.candidate import try_candidate
from runtime.deployment.deployment import Deployment
from runtime.deployment.engine import Container, Image
from runtime.deployment.health import HealthResult, save_healthy, wait_healthy, wait_stable
from runtime.deployment.interruptions import drain_runs
from runtime.deployment.records import PendingUpdate, Pin
from runtime.deployment.results import DeployError, Result


@dataclass(frozen=True, slots=True)
class TargetImage:
    """What is to run. ``reference``: the container is created from it, Watchtower follows it. ``pin``: what is pinned then."""

    image: Image
    reference: str
    pin: Pin | None

    @property
    def label(self) -> str:
        """For a person: version, revision and where it came from."""
        release = self.image.release or self.image.id.removeprefix("sha256:")[:12]
        return say("{release} of {reference}", release=release, reference=self.reference)


# -- which image --


def target_image(deployment: Deployment, container: Container | None) -> TargetImage:
    """For a repair: the pinned image, else the newly configured one, else the one that runs, else the last healthy one, else the
    tag's. Raises DeployError.

    Image and reference always belong together: Watchtower follows the reference.
    """
    pin, reference = deployment.records.pinned, deployment.reference()
    if pin is not None:
        image, pinned = deployment.earlier_image(pin.reference, pin.image_id)
        # An engine with another image store has the same image under another id.
        return TargetImage(image, pinned, pin.model_copy(update={"reference": pinned, "image_id": image.id}))
    changed = image_changed(deployment, container)
    fixed = bool(deployment.settings.image.digest)
    if fixed or changed:
        if container is not None:
            return TargetImage(deployment.image(reference), reference, None)
        with contextlib.suppress(DeployError):
            return TargetImage(deployment.image(reference), reference, None)
    if container is not None and (running := deployment.engine.image(container.image_id)) is not None:
        return TargetImage(running, reference, None)
    for entry in deployment.records.current_first:
        with contextlib.suppress(DeployError):
            image, own = deployment.earlier_image(entry.reference, entry.image_id)
            return TargetImage(image, own if changed or fixed else reference, None)
    return TargetImage(deployment.image(reference), reference, None)


def image_changed(deployment: Deployment, container: Container | None) -> bool:
    """Whether the environment file now names another image than the one that the runtime was created from."""
    records = deployment.records
    if records.pinned is not None:
        return False
    made_from = container.made_from if container else records.followed
    return made_from not in ("", str(deployment.settings.image))


def pull_if_changed(deployment: Deployment, container: Container | None) -> None:
    """Pull a newly configured image, as the wrapper does for an update. Raises DeployError when this host cannot get it."""
    if not image_changed(deployment, container):
        return
    reference = deployment.reference()
    try:
        deployment.pull(reference)
    except DeployError:
        if deployment.engine.image(reference) is None:
            raise


def last_healthy_image(deployment: Deployment) -> TargetImage | None:
    """Under its own reference, without a change of the pin; None when this host can get none of them."""
    for entry in deployment.records.current_first:
        with contextlib.suppress(DeployError):
            image, reference = deployment.earlier_image(entry.reference, entry.image_id)
            return TargetImage(image, reference, deployment.records.pinned)
    return None


# -- the update --


def replace_runtime(deployment: Deployment, target: TargetImage, *, verb: str, reason: str) -> Result:
    """``reason``: of the result when it succeeds. Raises DeployError when nothing was changed (also run_in_progress)."""
    if not _may_retag(deployment, target):
        _check_reference(deployment, target)
    nothing_runs = deployment.runtime() is None
    # An image that was healthy before needs no trial when nothing runs that the trial could protect: on a slow machine the
    # candidate could fail every time, and the host would stay without a runtime.
    needs_trial = deployment.options.trial and not deployment.records.known(target.image.id)
    if not nothing_runs or needs_trial:
        health = try_candidate(deployment, target.image, target.label)
        if not health.healthy:
            return _refused(deployment, target, health)
    watchtower.pause(deployment)
    if nothing_runs:
        return _swap(deployment, target, verb=verb, reason=reason)
    with drain_runs(deployment):
        return _swap(deployment, target, verb=verb, reason=reason)


def roll_back(deployment: Deployment, container: Container | None, *, verb: str, why: str) -> Result:
    """Replace this container by the first available image of the history, and pin that. Raises DeployError."""
    image_id = container.image_id if container else ""
    entries = [one for one in deployment.records.before(image_id) if one.image_id != image_id]
    if not entries:
        raise DeployError(
            "no_previous",
            say("no other image was ever healthy on this host"),
            say("set FLAGEEMONITOR_IMAGE to an earlier version in the environment file, then update"),
        )
    problems: list[str] = []
    for entry in entries:
        try:
            image, reference = deployment.earlier_image(entry.reference, entry.image_id)
        except DeployError as error:
            problems.append(error.message)
            continue
        pin = Pin(reference=reference, image_id=image.id, at=deployment.now(), why=why)
        result = replace_runtime(deployment, TargetImage(image, reference, pin), verb=verb, reason="rolled_back")
        if result.reason != "rolled_back":
            return result
        if (left := deployment.engine.image(image_id) if image_id else None) is not None:
            deployment.record_file.save(deployment.records.with_refused(left, deployment.now()))
        return replace(
            result,
            message=say(
                "{why}: {message}, pinned to {reference}", why=why, message=result.message, reference=reference
            ),
        )
    raise DeployError(
        "image_unavailable",
        say("no earlier healthy image is available: {problems}", problems=joined(problems, "; ")),
        say("check that this host reaches its registry; the next repair tries again"),
    )


def refuse_image(deployment: Deployment, image: Image) -> None:
    """Watchtower must not take this image, and it may be removed once nothing uses it. An image that was healthy is kept."""
    if not deployment.records.known(image.id):
        records = deployment.records.with_retired(image.id).with_refused(image, deployment.now())
        deployment.record_file.save(records)


def _refused(deployment: Deployment, target: TargetImage, health: HealthResult) -> Result:
    refuse_image(deployment, target.image)
    left = (
        say("nothing was changed")
        if deployment.runtime()
        else say("{runtime} does not run", runtime=deployment.names.runtime)
    )
    return Result(
        "candidate_unhealthy",
        say("the image was refused, {how}: {image}", how=health.text, image=target.label),
        say("{left}; read its last lines above, or publish a corrected image and update again", left=left),
        log=health.log,
    )


def _may_retag(deployment: Deployment, target: TargetImage) -> bool:
    """Whether the reference is the configured tag, which deploy may point to the image on this host."""
    return target.reference == str(deployment.settings.image) and not deployment.settings.image.digest


def _check_reference(deployment: Deployment, target: TargetImage) -> None:
    """A container created from the reference must get this very image. Raises DeployError, while everything still runs."""
    if deployment.image(target.reference).id != target.image.id:
        raise DeployError(
            "image_unavailable",
            say(
                "{reference} does not name {image}; nothing was changed", reference=target.reference, image=target.label
            ),
            say(
                "correct FLAGEEMONITOR_IMAGE in the environment file, then run {wrapper}",
                wrapper=deployment.names.wrapper("update-image"),
            ),
        )


def _swap(deployment: Deployment, target: TargetImage, *, verb: str, reason: str) -> Result:
    """While no run may start. The old container, if any, is kept until the new one is healthy."""
    if _may_retag(deployment, target):
        # Somebody may have pulled meanwhile: what was tried is what must run. Watchtower still sees a newer one in the registry.
        named = deployment.engine.image(target.reference)
        if named is None or named.id != target.image.id:
            deployment.engine.tag(target.image.id, deployment.settings.image)
    _check_reference(deployment, target)
    deployment.defer_signals()
    old = deployment.runtime()
    pending = PendingUpdate(
        verb=verb,
        old=old.id if old else "",
        image_id=target.image.id,
        reference=target.reference,
        pin=target.pin,
        at=deployment.now(),
    )
    deployment.record_file.save_or_raise(deployment.records.model_copy(update={"pending_update": pending}))
    try:
        health = _exchange_containers(deployment, target, old)
    except DeployError as error:
        health = HealthResult(False, error.message, final=True)
    if health.healthy:
        notes = complete_update(deployment, pending)
        if old is None and reason == "updated":
            reason = "installed"
        text = say("{runtime} runs {image}", runtime=deployment.names.runtime, image=target.label)
        return Result(reason, text, notes=notes)
    refuse_image(deployment, target.image)
    if old is None:
        return _without_previous(deployment, target, health)
    deployment.notify("going_back", health.text)
    return restore_previous(
        deployment, say("{image} failed after the update, {how}", image=target.label, how=health.text), health.log
    )


def _exchange_containers(deployment: Deployment, target: TargetImage, old: Container | None) -> HealthResult:
    names, engine, notify = deployment.names, deployment.engine, deployment.notify
    spec = deployment.runtime_spec(target.reference)
    if old is not None:
        notify("stopping", say("stopping the old container, at most {seconds} s", seconds=CONTAINER_STOP_S))
        engine.stop(old.id, CONTAINER_STOP_S)
        notify("stopped", say("the old container is stopped"))
        engine.rename(old.id, names.previous)
        notify("renamed", say("it is kept as {previous}", previous=names.previous))
    new = engine.create(spec.name, spec.body)
    notify("created", say("the new container is created"))
    created = engine.container(new)
    if created is None or created.image_id != target.image.id:
        return HealthResult(False, say("{reference} names another image now", reference=target.reference), final=True)
    engine.start(new)
    notify("started", say("the new container starts"))
    health = wait_stable(deployment, new)
    notify("judged", say("the new container is healthy") if health.healthy else say("the new container is not healthy"))
    return health


def _without_previous(deployment: Deployment, target: TargetImage, health: HealthResult) -> Result:
    """Not healthy, and nothing to restore. An image that was healthy before may only need longer; it is left running."""
    deployment.record_file.change(pending_update=None)
    runtime = deployment.names.runtime
    if not health.final and deployment.records.known(target.image.id):
        text = say(
            "{runtime} was created again from {image} and runs, but {how}",
            runtime=runtime,
            image=target.label,
            how=health.text,
        )
        return Result("repaired", text, say("the next repair checks it again"), log=health.log)
    return Result(
        "broken",
        say(
            "{image} was started and failed, {how}; there is no previous container to restore",
            image=target.label,
            how=health.text,
        ),
        say(
            "read `docker logs {runtime}`, correct the cause, then run {wrapper}",
            runtime=runtime,
            wrapper=deployment.names.wrapper("update-image"),
        ),
        log=health.log,
    )


def complete_update(deployment: Deployment, pending: PendingUpdate) -> tuple[str, ...]:
    """The new container is healthy: recorded first, then the previous one is removed. Sentences for an operator."""
    records, runtime = deployment.records, deployment.runtime()
    image = deployment.engine.image(runtime.image_id) if runtime else None
    if image is not None:
        repository = deployment.settings.image.repository
        records = records.with_healthy(image, repository, deployment.now(), proved=False).without_refused(image)
    followed = records.followed if pending.pin else pending.reference
    changes = {"pending_update": None, "pinned": pending.pin, "followed": followed}
    records = records.model_copy(update=changes)
    if image is None:
        deployment.record_file.save(records)
    notes = save_healthy(deployment, image, records) if image is not None else ()
    deployment.notify("remembered", say("it is recorded as healthy"))
    remove_previous(deployment)
    return notes


def remove_previous(deployment: Deployment) -> None:
    previous = deployment.own_container(deployment.names.previous)
    if previous is not None:
        deployment.engine.stop(previous.id, CONTAINER_STOP_S)  # in case that somebody started it
        deployment.engine.remove(previous.id)
        deployment.notify("previous_removed", say("the previous container is removed"))


def restore_previous(deployment: Deployment, why: str, log: str = "") -> Result:
    """The previous container runs again, or nothing does. Either way the update is over, and nothing of it is pinned."""
    try:
        health = _restart_previous(deployment)
    except DeployError as error:
        health = HealthResult(False, error.message, final=True)
    if health.final:
        names = deployment.names
        return Result(
            "broken",
            say("{why}; and the previous one does not run: {how}", why=why, how=health.text),
            say(
                "read `docker logs {runtime}`, correct the cause, then run {wrapper} --repair",
                runtime=names.runtime,
                wrapper=names.wrapper("update-image"),
            ),
            log=log or health.log,
        )
    notes = () if health.healthy else (say("the previous one runs, but {how}", how=health.text),)
    return Result(
        "restored", say("{why}; the previous one runs again", why=why), say("read its last lines above"), notes, log
    )


def _restart_previous(deployment: Deployment) -> HealthResult:
    names, engine = deployment.names, deployment.engine
    previous, new = deployment.own_container(names.previous), deployment.runtime()
    if previous is not None:
        if new is not None:
            engine.stop(new.id, CONTAINER_STOP_S)
            engine.remove(new.id)
            deployment.notify("new_removed", say("the new container is removed"))
        engine.rename(previous.id, names.runtime)
        deployment.notify("renamed_back", say("the previous container has its name back"))
    pending, runtime = deployment.records.pending_update, deployment.runtime()
    # Without a previous one, the old container was not renamed yet; or this was the first installation.
    if runtime is None or (previous is None and pending is not None and runtime.id != pending.old):
        deployment.record_file.change(pending_update=None)
        return HealthResult(False, say("there is no previous container"), final=True)
    if not runtime.running:
        engine.start(runtime.id)
    deployment.record_file.change(pending_update=None)  # from here on it is a runtime container like any other
    deployment.notify("restarted", say("the previous container starts"))
    return wait_healthy(deployment, runtime.id)
