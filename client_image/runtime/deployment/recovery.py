"""Mends what a deploy that was killed left behind, at the start of the next one. Called by the verbs, under the lock.

Every step of a swap leaves one of these pictures; the records say which container is the old one:

| runtime       | previous | what happened last                            | what is done                                    |
|---------------|----------|-----------------------------------------------|-------------------------------------------------|
| the old       | -        | noted, perhaps stopped; or already gone back  | the note is dropped; a repair starts it          |
| -             | the old  | renamed                                       | it gets its name back and is started            |
| never started | the old  | the new one made                              | the new one is removed, the old one runs again  |
| the new       | the old  | started, judged, or remembered as healthy     | judged again: kept, or gone back                |
| the new       | -        | the previous one removed; a first installation| judged again, or left to the repair             |
"""

from __future__ import annotations

from runtime.deployment.deployment import Site
from runtime.deployment.facts import Container
from runtime.deployment.health import wait_settled
from runtime.deployment.interruptions import reopen
from runtime.deployment.records import Swap
from runtime.deployment.results import Result
from runtime.deployment.update import discard_candidate, drop_previous, finish, go_back, retire


def recover(site: Site) -> Result | None:
    """What was mended, as the result of that swap; None when there was nothing. Raises DeployError."""
    discard_candidate(site)
    result = _settle(site)
    reopen(site)
    return result


def _settle(site: Site) -> Result | None:
    note = site.memory.records.swap
    runtime, previous = site.runtime(), site.ours(site.names.previous)
    if note is None and previous is None:
        return None
    site.tell("mending", "an earlier deploy was interrupted")
    site.shield.seal()
    if previous is None:
        return _without_previous(site, note, runtime) if note is not None else None
    if runtime is not None and (runtime.running or runtime.status == "restarting"):
        return _judge(site, note, runtime)
    return _mended(go_back(site, "a deploy was interrupted in the middle of the swap"))


def _without_previous(site: Site, note: Swap, runtime: Container | None) -> Result | None:
    if runtime is not None and runtime.id != note.old:
        # The first installation: there is nothing to go back to.
        if wait_settled(site, runtime.id).healthy:
            finish(site, note)
            return Result("repaired", "an interrupted swap was brought to its end")
    elif runtime is not None and not runtime.running:
        site.engine.start(runtime.id)
        site.memory.save(swap=None)
        return Result("repaired", "the runtime, stopped by a deploy that was interrupted, runs again")
    site.memory.save(swap=None)
    return None


def _judge(site: Site, note: Swap | None, runtime: Container) -> Result | None:
    """Both are there, and the new one runs."""
    if note is None and site.memory.records.known(runtime.image_id):
        drop_previous(site)  # it was healthy already, and only the broom was missing
        return None
    verdict = wait_settled(site, runtime.id)
    if not verdict.healthy:
        if (image := site.engine.image(runtime.image_id)) is not None:
            retire(site, image)
        return go_back(site, f"a deploy was interrupted, and its new container failed, {verdict.text}", verdict.log)
    if note is not None:
        finish(site, note)
    else:
        drop_previous(site)
    return Result("repaired", "an interrupted swap was brought to its end")


def _mended(result: Result) -> Result:
    """Nothing new has failed here: the interruption alone was the trouble."""
    if result.reason == "restored":
        return Result("repaired", result.message, "", result.notes)
    return result
