"""Watchtower beside the runtime: there, as specified, and running. Called by the verbs at their end, whatever came before."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from runtime.deployment.deployment import Site
from runtime.deployment.drift import drift
from runtime.deployment.facts import Container
from runtime.deployment.results import DeployError
from runtime.deployment.specification import WATCHTOWER_STOP_S, watchtower_spec

SETTLE_S = 2.0
_PAUSE_S = 0.5
_YOUNG = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Watchtower:
    """``changed``: what was done, in words; empty when nothing had to be."""

    state: str
    image: str
    changed: str = ""


def ensure(site: Site) -> Watchtower:
    """Raises DeployError (watchtower_unavailable): the runtime is not touched by that."""
    image = str(site.settings.watchtower_image)
    try:
        changed = _ensure(site, image)
        if changed:
            _settle(site)
    except DeployError as error:
        text = f"Watchtower does not run, so no update will be taken: {error.message}"
        raise DeployError("watchtower_unavailable", text, error.advice) from error
    return Watchtower("running", image, changed)


def look(site: Site) -> Watchtower:
    """For the report; never raises."""
    image = str(site.settings.watchtower_image)
    try:
        found = site.ours(site.names.watchtower)
    except DeployError:
        return Watchtower("unknown", image)
    return Watchtower(found.status if found else "missing", image)


def differences(site: Site, container: Container) -> tuple[str, ...]:
    spec = watchtower_spec(site.settings, site.facts, site.sources)
    wanted = site.engine.image(spec.image)
    there = site.engine.image(container.image_id)
    return drift(spec, container, there, image_id=wanted.id if wanted else "")


def _ensure(site: Site, image: str) -> str:
    engine, name = site.engine, site.names.watchtower
    found = site.ours(name)
    if found is not None and not (differing := differences(site, found)):
        if found.status in ("running", "restarting"):
            # One that ends again and again is not mended by us; that it does is said.
            age = site.now() - found.started_at if found.started_at else dt.timedelta()
            return "was restarting" if found.restarts and age < _YOUNG else ""
        engine.start(found.id)
        site.tell("watchtower_started", "Watchtower runs again")
        return "started"
    site.have(image)
    if found is not None:
        site.tell("watchtower_drift", f"Watchtower is made anew: {'; '.join(differing)}")
        engine.stop(found.id, WATCHTOWER_STOP_S)
        engine.remove(found.id)
    created = engine.create(watchtower_spec(site.settings, site.facts, site.sources))
    engine.start(created)
    site.tell("watchtower_created", f"Watchtower runs, {image}")
    return "made anew" if found is not None else "made"


def _settle(site: Site) -> None:
    """One that does not get along with this engine ends at once: that is told now, not by the next repair."""
    begin = site.pace.monotonic()
    while True:
        found = site.ours(site.names.watchtower)
        if found is None or found.status != "running" or found.restarts:
            last = site.engine.logs(site.names.watchtower, 3).strip().replace("\n", " / ")
            raise DeployError(
                "watchtower_unavailable",
                f"it ends right after its start: {last or 'it says nothing'}",
                f"read {site.names.wrapper('watchtower-logs')}",
            )
        if site.pace.monotonic() - begin >= SETTLE_S:
            return
        site.pace.sleep(_PAUSE_S)
