"""Completes or undoes what a killed deploy left, at the start of the next one. Called by verbs and repair, under the lock.

Every step of an update leaves one of these states; the records say which container is the old one:

| runtime       | previous | what happened last                            | what is done                                    |
|---------------|----------|-----------------------------------------------|-------------------------------------------------|
| the old       | -        | saved, perhaps stopped; or already restored   | the pending update is dropped, the old one runs |
| -             | the old  | renamed                                       | it gets its name back and is started            |
| never started | the old  | the new one created                           | the new one is removed, the old one runs again  |
| the new       | the old  | started, judged, or recorded as healthy       | judged again: kept, or the old one is restored  |
| the new       | -        | the previous one removed; a first installation| judged again, or left to the repair             |
"""

from __future__ import annotations

from dataclasses import replace

from contracts.text import say
from runtime.deployment.candidate import discard_candidate
from runtime.deployment.deployment import Deployment
from runtime.deployment.engine import Container
from runtime.deployment.health import wait_stable
from runtime.deployment.interruptions import lift_barrier
from runtime.deployment.records import PendingUpdate
from runtime.deployment.results import Result
from runtime.deployment.update import complete_update, refuse_image, remove_previous, restore_previous

_COMPLETED = Result("repaired", say("completed an interrupted update"))


def recover(deployment: Deployment) -> Result | None:
    """The result of the interrupted update; None when there was nothing to complete. Raises DeployError."""
    discard_candidate(deployment)
    result = _settle(deployment)
    lift_barrier(deployment)
    return result


def _settle(deployment: Deployment) -> Result | None:
    pending = deployment.records.pending_update
    runtime, previous = deployment.runtime(), deployment.own_container(deployment.names.previous)
    if pending is None and previous is None:
        return None
    deployment.notify("recovering", say("an earlier deploy was interrupted"))
    deployment.defer_signals()
    if previous is None:
        return _settle_without_previous(deployment, pending, runtime) if pending is not None else None
    if runtime is not None and (runtime.running or runtime.status == "restarting"):
        return _judge_new(deployment, pending, runtime)
    result = restore_previous(deployment, say("a deploy was interrupted in the middle of an update"))
    # No new failure here: only the interruption is repaired.
    return replace(result, reason="repaired", advice="") if result.reason == "restored" else result


def _settle_without_previous(
    deployment: Deployment, pending: PendingUpdate, runtime: Container | None
) -> Result | None:
    if runtime is not None and runtime.id != pending.old:
        # The first installation: there is nothing to restore.
        if wait_stable(deployment, runtime.id).healthy:
            complete_update(deployment, pending)
            return _COMPLETED
    elif runtime is not None and not runtime.running:
        deployment.engine.start(runtime.id)
        deployment.record_file.change(pending_update=None)
        return Result("repaired", say("the runtime, which an interrupted deploy had stopped, runs again"))
    deployment.record_file.change(pending_update=None)
    return None


def _judge_new(deployment: Deployment, pending: PendingUpdate | None, runtime: Container) -> Result | None:
    """Both are there, and the new one runs."""
    if pending is None and deployment.records.known(runtime.image_id):
        remove_previous(deployment)  # the update had succeeded, only this step was missing
        return None
    health = wait_stable(deployment, runtime.id)
    if not health.healthy:
        if (image := deployment.engine.image(runtime.image_id)) is not None:
            refuse_image(deployment, image)
        why = say("a deploy was interrupted, and its new container failed, {how}", how=health.text)
        return restore_previous(deployment, why, health.log)
    if pending is not None:
        complete_update(deployment, pending)
    else:
        remove_previous(deployment)
    return _COMPLETED
