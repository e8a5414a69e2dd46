"""The runtime as it is now, and what of that was worth remembering. Called by the verbs and by repair."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.deployment.decisions import Condition, Situation, condition
from runtime.deployment.drift import drift
from runtime.deployment.facts import Container, Image
from runtime.deployment.gate import PROBE_S
from runtime.deployment.records import Pin
from runtime.deployment.site import HEALTH_COMMAND, Site
from runtime.deployment.swap import Target


@dataclass(frozen=True, slots=True)
class Seen:
    """The runtime as it is now. ``differing``: what is not as specified, the image that it should run included."""

    container: Container | None
    condition: Condition
    differing: tuple[str, ...]


def look(site: Site, target: Target | None) -> Seen:
    """``target``: what should run; None: the image that runs, or the pinned one."""
    container = site.runtime()
    probe = None
    if container is not None and container.running and container.health in ("", "starting"):
        probe = site.engine.probe(container.name, HEALTH_COMMAND, PROBE_S)
    differing: tuple[str, ...] = ()
    if container is not None:
        pin = site.memory.records.pinned
        image_id = target.image.id if target else pin.image_id if pin else ""
        spec = site.spec(target.reference if target else "")
        differing = drift(spec, container, site.engine.image(container.image_id), image_id=image_id)
    return Seen(container, condition(container, probe, site.now()), differing)


def situation(site: Site, seen: Seen) -> Situation:
    records = site.memory.records
    image_id = seen.container.image_id if seen.container else ""
    return Situation(
        condition=seen.condition,
        known=records.known(image_id),
        others=any(one.image_id != image_id for one in records.healthy),
        drift=seen.differing,
        attempts=len(records.recent(site.now())),
    )


def remember(site: Site, image: Image, *, pin: Pin | None) -> None:
    records = site.memory.records.remember(image, site.settings.image.repository, site.now())
    site.memory.keep(records.model_copy(update={"pinned": pin}))
