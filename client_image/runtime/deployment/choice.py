"""Which image is to run: the one that stands, one named anew, or one of the history. Called by the verbs and by repair."""

from __future__ import annotations

import contextlib
from dataclasses import replace as changed

from runtime.deployment.deployment import Site
from runtime.deployment.facts import Container
from runtime.deployment.records import Healthy, Pin
from runtime.deployment.results import DeployError, Result
from runtime.deployment.update import Target, replace


def standing(site: Site, container: Container | None) -> Target:
    """What a repair makes anew: the pinned image, else what the environment file names anew, else the one that runs, else the
    last healthy one, else the tag's. The image and the reference that Watchtower follows always belong together."""
    pin, followed = site.memory.records.pinned, site.followed()
    if pin is not None:
        image, reference = site.obtain(pin.reference, pin.image_id)
        return Target(image, reference, pin.model_copy(update={"reference": reference}))
    anew = _named_anew(site, container)
    if site.settings.image.digest or anew:
        if container is not None:
            return Target(site.have(followed), followed, None)
        with contextlib.suppress(DeployError):
            return Target(site.have(followed), followed, None)
    if container is not None and (ran := site.engine.image(container.image_id)) is not None:
        return Target(ran, followed, None)
    for entry in _current_first(site):
        with contextlib.suppress(DeployError):
            image, reference = site.obtain(entry.reference, entry.image_id)
            return Target(image, reference if anew or site.settings.image.digest else followed, None)
    return Target(site.have(followed), followed, None)


def _named_anew(site: Site, container: Container | None) -> bool:
    """Whether the environment file names another image than the one that the runtime was made from."""
    records = site.memory.records
    if records.pinned is not None:
        return False
    made_from = container.made_from if container else records.followed
    return made_from not in ("", str(site.settings.image))


def bring(site: Site, container: Container | None) -> None:
    """Pull what the environment file names anew, as the wrapper does for an update. Raises DeployError when it cannot be had."""
    if not _named_anew(site, container):
        return
    reference = site.followed()
    try:
        site.pull(reference)
    except DeployError:
        if site.engine.image(reference) is None:
            raise


def _current_first(site: Site) -> tuple[Healthy, ...]:
    records = site.memory.records
    current = records.entry(records.current)
    return (*((current,) if current else ()), *(one for one in records.healthy if one != current))


def last_healthy(site: Site) -> Target | None:
    """Under its own name, and without a change of what holds; None when none can be had."""
    for entry in _current_first(site):
        with contextlib.suppress(DeployError):
            image, reference = site.obtain(entry.reference, entry.image_id)
            return Target(image, reference, site.memory.records.pinned)
    return None


def go_to_history(site: Site, container: Container | None, *, verb: str, why: str) -> Result:
    """Go from this container to the first image of the history that can be had, and stay there. Raises DeployError."""
    image_id = container.image_id if container else ""
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
            image, reference = site.obtain(entry.reference, entry.image_id)
        except DeployError as error:
            trouble.append(error.message)
            continue
        pin = Pin(reference=reference, image_id=image.id, at=site.now(), why=why)
        result = replace(site, Target(image, reference, pin), verb=verb, reason="rolled_back")
        if result.reason != "rolled_back":
            return result
        if (left := site.engine.image(image_id) if image_id else None) is not None:
            site.memory.keep(site.memory.records.refuse(left, site.now()))
        return changed(result, message=f"{why}: {result.message}, pinned to {reference}")
    raise DeployError(
        "image_unavailable",
        f"no earlier healthy image can be had: {'; '.join(trouble)}",
        "see that this host reaches its registry; the next repair tries again",
    )
