"""The runtime as it is now, and what of that was worth remembering. Called by the verbs and by repair."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from runtime.deployment import sights
from runtime.deployment.deployment import HEALTH_COMMAND, Site
from runtime.deployment.drift import drift
from runtime.deployment.facts import Condition, Container
from runtime.deployment.health import PROBE_S
from runtime.deployment.records import Pin
from runtime.deployment.repair_rules import RESTARTS, Situation, condition
from runtime.deployment.sights import Sight
from runtime.deployment.update import Target

# What a repair gives the runtime to answer, before it does anything about it.
PATIENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The runtime as it is now. ``differing``: what is not as specified, the image that it should run included. ``well``: for how
    long it has been healthy since its present start."""

    container: Container | None
    condition: Condition
    differing: tuple[str, ...]
    sight: Sight | None
    well: dt.timedelta


def look(site: Site, target: Target | None, *, patience: float = PROBE_S) -> Seen:
    """``target``: what should run; None: the image that runs, or the pinned one. ``patience``: for our own probe."""
    container = site.runtime()
    if container is None:
        return Seen(None, Condition.MISSING, (), None, dt.timedelta())
    pin = site.memory.records.pinned
    image_id = target.image.id if target else pin.image_id if pin else ""
    spec = site.spec(target.reference if target else "")
    differing = drift(spec, container, site.engine.image(container.image_id), image_id=image_id)
    probe = None
    if container.running and container.health != "healthy":
        probe = site.engine.probe(container.name, HEALTH_COMMAND, patience)
    now, uptime = site.now(), site.pace.monotonic()
    sight = sights.seen_again(site.memory.records.sight, container, now, uptime)
    age = sights.age(sight, container, now, uptime)
    found = condition(container, probe, age, sights.restarted(sight, container))
    sight = sights.found(sight, found, uptime)
    return Seen(container, found, differing, sight, min(age, sights.well(sight, uptime)))


def situation(site: Site, seen: Seen) -> Situation:
    """Notes the sight, so that the next repair knows what this one saw."""
    records, container = site.memory.records, seen.container
    image_id = container.image_id if container else ""
    site.memory.save(sight=seen.sight)
    counted = seen.condition is Condition.LOOPING and container is not None and container.restarts >= RESTARTS
    return Situation(
        condition=seen.condition,
        proved=records.proved(image_id),
        lasting=lasting(site, seen),
        confirmed=counted or (seen.sight is not None and sights.confirmed(seen.sight, site.pace.monotonic())),
        others=any(one.image_id != image_id for one in records.healthy),
        drift=seen.differing,
        attempts=len(records.recent(site.now())),
    )


def lasting(site: Site, seen: Seen) -> bool:
    """Whether its health has lasted long enough to be believed: a bad release is healthy for a moment, too."""
    return seen.condition is Condition.HEALTHY and seen.well >= dt.timedelta(seconds=site.options.proof)


def remember(site: Site, seen: Seen, *, pin: Pin | None) -> None:
    """What runs now is healthy: an image that is new only when that has lasted."""
    records, container = site.memory.records, seen.container
    image = site.engine.image(container.image_id) if container else None
    lasts = lasting(site, seen)
    if image is not None and (lasts or records.known(image.id)):
        records = records.remember(image, site.settings.image.repository, site.now(), proved=lasts)
    site.memory.keep(records.model_copy(update={"pinned": pin}))
