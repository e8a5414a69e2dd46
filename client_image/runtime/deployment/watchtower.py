"""Watchtower beside the runtime: exists, is as specified, runs; or is not there, where automatic updates are off.

Called by the verbs at their end; update pauses it meanwhile.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from contracts.text import joined, say
from runtime.deployment.deployment import Deployment
from runtime.deployment.drift import drift
from runtime.deployment.results import DeployError
from runtime.deployment.specification import WATCHTOWER_STOP_S, watchtower_spec

OFF = "off"
SETTLE_S = 2.0
_PAUSE_S = 0.5
_YOUNG = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Watchtower:
    """``changed``: what was done, a sentence; empty when nothing had to be."""

    state: str
    image: str
    changed: str = ""


def ensure(deployment: Deployment) -> Watchtower:
    """Raises DeployError (watchtower_unavailable); the runtime is not affected."""
    if not deployment.settings.auto_update:
        return Watchtower(OFF, str(deployment.settings.watchtower_image), _remove(deployment))
    try:
        changed = _ensure_running(deployment)
        if changed:
            _wait_settled(deployment)
    except DeployError as error:
        text = say("Watchtower does not run, so no update will be taken: {message}", message=error.message)
        raise DeployError("watchtower_unavailable", text, error.advice) from error
    return Watchtower("running", str(deployment.settings.watchtower_image), changed)


def state(deployment: Deployment) -> Watchtower:
    """As it is now; never raises."""
    image = str(deployment.settings.watchtower_image)
    try:
        found = deployment.own_container(deployment.names.watchtower)
    except DeployError:
        return Watchtower("unknown", image)
    missing = "missing" if deployment.settings.auto_update else OFF
    return Watchtower(found.status if found else missing, image)


def pause(deployment: Deployment) -> None:
    """Stop it until ``ensure``. It first finishes an update that it has begun, so that two never work on one container."""
    container = deployment.own_container(deployment.names.watchtower)
    if container is not None and container.status in ("running", "restarting"):
        deployment.notify("watchtower_paused", say("Watchtower waits meanwhile"))
        deployment.engine.stop(container.id, WATCHTOWER_STOP_S)


def _remove(deployment: Deployment) -> str:
    """What was done, a sentence. It first finishes an update that it has begun. Raises DeployError."""
    found = deployment.own_container(deployment.names.watchtower)
    if found is None:
        return ""
    deployment.engine.stop(found.id, WATCHTOWER_STOP_S)
    deployment.engine.remove(found.id)
    deployment.notify("watchtower_removed", say("Watchtower is removed"))
    return say("Watchtower was removed, because automatic updates are off")


def _ensure_running(deployment: Deployment) -> str:
    """What was done, a sentence."""
    engine = deployment.engine
    spec = watchtower_spec(deployment.settings, deployment.facts, deployment.sources)
    found = deployment.own_container(spec.name)
    differences: tuple[str, ...] = ()
    if found is not None:
        image = engine.image(spec.image)
        differences = drift(spec, found, engine.image(found.image_id), image_id=image.id if image else "")
    if found is not None and not differences:
        if found.status in ("running", "restarting"):
            # One that ends again and again is reported, not repaired: creating it again would not help.
            age = deployment.now() - found.started_at if found.started_at else dt.timedelta()
            if found.restarts and age < _YOUNG:
                raise _ends_at_once(deployment)
            return ""
        engine.start(found.id)
        deployment.notify("watchtower_started", say("Watchtower runs again"))
        return say("Watchtower was started")
    deployment.image(spec.image)
    if found is not None:
        deployment.notify(
            "watchtower_drift", say("creating Watchtower again: {differences}", differences=joined(differences, "; "))
        )
        engine.stop(found.id, WATCHTOWER_STOP_S)
        engine.remove(found.id)
    engine.start(engine.create(spec.name, spec.body))
    deployment.notify("watchtower_created", say("Watchtower runs, {image}", image=spec.image))
    return say("Watchtower was created again") if found is not None else say("Watchtower was created")


def _wait_settled(deployment: Deployment) -> None:
    """One that does not work with this engine ends at once: reported now, not by the next repair."""
    clock, name = deployment.clock, deployment.names.watchtower
    begin = clock.monotonic()
    while True:
        found = deployment.own_container(name)
        if found is None or not found.running or found.restarts:
            raise _ends_at_once(deployment)
        if clock.monotonic() - begin >= SETTLE_S:
            return
        clock.sleep(_PAUSE_S)


def _ends_at_once(deployment: Deployment) -> DeployError:
    names = deployment.names
    last = deployment.engine.logs(names.watchtower, 3).strip().replace("\n", " / ")
    return DeployError(
        "watchtower_unavailable",
        say("it ends right after its start: {last}", last=last or say("it logged nothing")),
        say("read {wrapper}", wrapper=names.wrapper("watchtower-logs")),
    )
