"""Waits until a container is healthy, or is sure not to become it. Called by swap and repair."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.deployment.deployment import HEALTH_COMMAND, Site
from runtime.deployment.facts import Container

FIRST_PAUSE_S, PAUSE_S = 1.0, 3.0
PROBE_S = 30.0
LOG_LINES = 25
_TOLD_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``lost``: it will not recover by waiting (it ended, restarts, or is gone). ``log``: its last lines, when not healthy."""

    healthy: bool
    text: str
    lost: bool = False
    log: str = ""


def wait_healthy(site: Site, name: str, seconds: float) -> Verdict:
    """The engine's own health check or our probe, whichever says so first; at most ``seconds``."""
    pace, engine = site.pace, site.engine
    begin = pace.monotonic()
    told, said, pause = begin, "", FIRST_PAUSE_S
    while True:
        container = engine.container(name)
        if container is None:
            return Verdict(False, "it is gone", lost=True)
        if end := _end(container):
            return Verdict(False, end, lost=True, log=_log(site, name))
        if container.health == "healthy":
            return Verdict(True, "healthy")
        if container.health == "unhealthy":
            return Verdict(False, f"its health check fails{said}", log=_log(site, name))
        left = seconds - (pace.monotonic() - begin)
        probe = engine.probe(name, HEALTH_COMMAND, max(min(PROBE_S, left), 1.0))
        if probe.code == 0:
            return Verdict(True, "healthy")
        said = f": {' '.join(probe.text.split())[:300]}" if probe.text.strip() else ""
        if pace.monotonic() - begin >= seconds:
            return Verdict(False, f"not healthy within {seconds:g} s{said}", log=_log(site, name))
        if pace.monotonic() - told >= _TOLD_EVERY_S:
            told = pace.monotonic()
            site.tell("waiting_healthy", f"not healthy yet after {told - begin:.0f} s{said}")
        pace.sleep(pause)
        pause = PAUSE_S


def wait_settled(site: Site, name: str) -> Verdict:
    """Healthy, and still there a moment later: one that ends as soon as it has work is seen here."""
    verdict = wait_healthy(site, name, site.options.health_timeout)
    begin = site.pace.monotonic()
    while verdict.healthy and (left := site.options.soak - (site.pace.monotonic() - begin)) > 0:
        site.pace.sleep(min(PAUSE_S, left))
        container = site.engine.container(name)
        end = _end(container) if container else "it is gone"
        if end:
            verdict = Verdict(False, f"it was healthy, but {end}", lost=True, log=_log(site, name))
    return verdict


def _end(container: Container) -> str:
    """Why it needs no more waiting for; empty while it runs."""
    if container.status == "restarting" or container.restarts:
        return f"it ends and is started again (exit code {container.exit_code})"
    if container.status == "running":
        return ""
    more = f": {container.error}" if container.error else ""
    return f"it is {container.status} with exit code {container.exit_code}{more}"


def _log(site: Site, name: str) -> str:
    return site.engine.logs(name, LOG_LINES).strip()
