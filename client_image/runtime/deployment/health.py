"""The health of our containers, awaited after a start and observed by the verbs. Called by candidate, update, repair, verbs."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from contracts.text import joined, say
from runtime.deployment.deployment import Deployment
from runtime.deployment.drift import drift
from runtime.deployment.engine import Container, Image
from runtime.deployment.host_files import fit_environment_file, reads_any_key
from runtime.deployment.records import Pin, Records
from runtime.deployment.repair_rules import (
    RESTARTS,
    Condition,
    HealthHistory,
    Situation,
    cause_of,
    classify,
    continue_history,
)

# For an image without a health check. Otherwise its own is asked: the command of another release may have another name.
HEALTH_COMMAND = ("python", "-m", "runtime.container.health")
PROBE_S = 30.0
# For the runtime's own answer, before a repair changes anything.
PATIENT_PROBE_S = 60.0
LOG_LINES = 25
_FIRST_PAUSE_S, _PAUSE_S = 0.5, 3.0
_NOTIFY_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class HealthResult:
    """``text``: what was found. ``final``: waiting longer will not help (it ended, restarts or is gone). ``log``: last lines of a
    container that is not healthy."""

    healthy: bool
    text: str
    final: bool = False
    log: str = ""


def wait_healthy(deployment: Deployment, name: str) -> HealthResult:
    """By the engine's own health check or our probe, whichever answers first; for at most the option ``health_timeout``."""
    clock, engine, limit = deployment.clock, deployment.engine, deployment.options.health_timeout
    begin = clock.monotonic()
    notified, answer, pause = begin, "", _FIRST_PAUSE_S
    while True:
        container = engine.container(name)
        ended = _why_ended(container)
        if container is None or ended:
            return _unhealthy(deployment, name, ended, final=True)
        if container.health == "healthy":
            return HealthResult(True, "healthy")
        if container.health == "unhealthy":
            return _unhealthy(deployment, name, say("its health check fails{said}", said=answer))
        left = limit - (clock.monotonic() - begin)
        probe = engine.probe(name, container.health_check or HEALTH_COMMAND, max(min(PROBE_S, left), 1.0))
        if probe.code == 0:
            return HealthResult(True, "healthy")
        answer = say(": {said}", said=" ".join(probe.text.split())[:300]) if probe.text.strip() else ""
        if clock.monotonic() - begin >= limit:
            return _unhealthy(
                deployment, name, say("not healthy within {limit} s{said}", limit=f"{limit:g}", said=answer)
            )
        if clock.monotonic() - notified >= _NOTIFY_EVERY_S:
            notified = clock.monotonic()
            deployment.notify(
                "waiting_healthy",
                say("not healthy yet after {seconds} s{said}", seconds=f"{notified - begin:.0f}", said=answer),
            )
        clock.sleep(pause)
        pause = min(2 * pause, _PAUSE_S)


def wait_stable(deployment: Deployment, name: str) -> HealthResult:
    """Healthy, and still so a moment later: one that ends as soon as it has work is found here."""
    result = wait_healthy(deployment, name)
    begin = deployment.clock.monotonic()
    while result.healthy and (left := deployment.options.soak - (deployment.clock.monotonic() - begin)) > 0:
        deployment.clock.sleep(min(_PAUSE_S, left))
        if ended := _why_ended(deployment.engine.container(name)):
            result = _unhealthy(deployment, name, say("it was healthy, but {ended}", ended=ended), final=True)
    return result


def _why_ended(container: Container | None) -> str:
    """Why waiting for it is in vain; empty while it runs."""
    if container is None:
        return say("it is gone")
    if container.status == "restarting" or container.restarts:
        return say("it ends and is started again (exit code {exit_code})", exit_code=container.exit_code)
    if container.running:
        return ""
    cause = f": {container.error}" if container.error else ""
    return say(
        "it is {status} with exit code {exit_code}{cause}",
        status=container.status,
        exit_code=container.exit_code,
        cause=cause,
    )


def _unhealthy(deployment: Deployment, name: str, text: str, *, final: bool = False) -> HealthResult:
    return HealthResult(False, text, final, deployment.engine.logs(name, LOG_LINES).strip())


@dataclass(frozen=True, slots=True)
class Observation:
    """The runtime as it is now. ``drift``: what is not as specified, the image included. ``healthy_for``: how long it has been
    healthy since its last start."""

    container: Container | None
    condition: Condition
    drift: tuple[str, ...] = ()
    history: HealthHistory | None = None
    healthy_for: dt.timedelta = dt.timedelta()


def observe(
    deployment: Deployment, image: Image | None = None, reference: str = "", *, probe_s: float = PROBE_S
) -> Observation:
    """``image``, ``reference``: what should run; without them the pinned image, else the one that runs. Changes nothing."""
    container = deployment.runtime()
    if container is None:
        return Observation(None, Condition.MISSING)
    records = deployment.records
    image_id = image.id if image else records.pinned.image_id if records.pinned else ""
    spec = deployment.runtime_spec(reference)
    differences = drift(spec, container, deployment.engine.image(container.image_id), image_id=image_id)
    probe = None
    if container.running and container.health != "healthy":
        probe = deployment.engine.probe(container.name, container.health_check or HEALTH_COMMAND, probe_s)
    now, uptime = deployment.now(), deployment.clock.monotonic()
    history = continue_history(records.history, container, now, uptime)
    age = history.age(container, now, uptime)
    condition = classify(container, probe, age, history.recent_restarts(container))
    history = history.with_condition(condition, uptime)
    return Observation(container, condition, differences, history, min(age, history.healthy_for(uptime)))


def assess(deployment: Deployment, seen: Observation) -> Situation:
    """What a repair decides on; the history is saved, so that the next repair knows what this one saw."""
    records, container = deployment.records, seen.container
    image_id = container.image_id if container else ""
    deployment.record_file.change(history=seen.history)
    counted = seen.condition is Condition.LOOPING and container is not None and container.restarts >= RESTARTS
    earlier = seen.history is not None and seen.history.confirmed(deployment.clock.monotonic())
    return Situation(
        condition=seen.condition,
        image_proved=records.proved(image_id),
        proved_now=_proved(deployment, seen),
        confirmed=counted or earlier,
        can_roll_back=any(one.image_id != image_id for one in records.healthy),
        drift=seen.drift,
        attempts=records.attempts_against(cause_of(seen.condition, seen.drift), deployment.now()),
    )


def save_healthy(deployment: Deployment, image: Image, records: Records) -> tuple[str, ...]:
    """Save records in which ``image`` is the one that was last healthy. From then on repairs run its deploy, which must be able
    to read the environment file. Sentences for an operator where lines of it had to become comments."""
    notes: tuple[str, ...] = ()
    if not reads_any_key(image):
        notes = _fit_environment_file(deployment, image)
    deployment.record_file.save(records)
    if reads_any_key(image):  # a call that is killed before this leaves a file that both can read
        notes = _fit_environment_file(deployment, image)
    return notes


def _fit_environment_file(deployment: Deployment, image: Image) -> tuple[str, ...]:
    try:
        keys = fit_environment_file(deployment.folders.etc, image)
    except FileNotFoundError:
        return ()  # a first installation writes it at its end
    except OSError as error:
        return (say("the environment file could not be adapted to the image: {why}", why=error.strerror or str(error)),)
    if not keys:
        return ()
    text = say(
        "{image} does not know {keys}: these lines of the environment file are comments until a newer image runs",
        image=image.release or image.id.removeprefix("sha256:")[:12],
        keys=joined(keys),
    )
    deployment.notify("keys_set_aside", text)
    return (text,)


def record_healthy(deployment: Deployment, seen: Observation, *, pin: Pin | None) -> None:
    """The runtime is healthy. An image that was never healthy before is recorded only when it has been so for long enough."""
    records, container = deployment.records, seen.container
    image = deployment.engine.image(container.image_id) if container else None
    proved = _proved(deployment, seen)
    if image is not None and (proved or records.known(image.id)):
        records = records.with_healthy(image, deployment.settings.image.repository, deployment.now(), proved=proved)
        save_healthy(deployment, image, records.model_copy(update={"pinned": pin}))
    else:
        deployment.record_file.save(records.model_copy(update={"pinned": pin}))


def _proved(deployment: Deployment, seen: Observation) -> bool:
    """Even a bad release is healthy for a moment."""
    return seen.condition is Condition.HEALTHY and seen.healthy_for >= dt.timedelta(seconds=deployment.options.proof)
