"""One image or specification takes another's place: candidate, quiet, swap, and back again if the new one fails.

Called by the verbs. What is under way stands in the records before the old container is touched, so that a call that was killed
at any step is understood and mended by the next one (recovery).
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.deployment.candidate import state_archive
from runtime.deployment.deployment import Site
from runtime.deployment.facts import LABEL_ROLE, LABEL_RUNTIME, Container, Image
from runtime.deployment.health import Verdict, wait_healthy, wait_settled
from runtime.deployment.interruptions import quiet
from runtime.deployment.names import DATA
from runtime.deployment.records import Pin, Swap
from runtime.deployment.results import DeployError, Result
from runtime.deployment.specification import STOP_S, WATCHTOWER_STOP_S, candidate_spec


@dataclass(frozen=True, slots=True)
class Target:
    """What is to run. ``reference``: what the container is made from and Watchtower follows. ``pin``: what holds afterwards."""

    image: Image
    reference: str
    pin: Pin | None


def replace(site: Site, target: Target, *, verb: str, reason: str) -> Result:
    """``reason``: of a success. Raises DeployError when nothing was changed (also run_in_progress)."""
    if not _moves(site, target):
        make_sure(site, target)
    alone = site.runtime() is None
    if not (alone and site.memory.records.known(target.image.id)):
        # Else nothing is there that a trial could protect, and a slow machine would stay without a runtime for ever.
        verdict = try_candidate(site, target)
        if not verdict.healthy:
            return refused(site, target, verdict)
    pause_watchtower(site)
    if alone:
        return swap(site, target, verb=verb, reason=reason)
    with quiet(site):
        return swap(site, target, verb=verb, reason=reason)


def refused(site: Site, target: Target, verdict: Verdict) -> Result:
    retire(site, target.image)
    left = "nothing was changed" if site.runtime() else f"{site.names.runtime} does not run"
    return Result(
        "candidate_unhealthy",
        f"the image was refused, {verdict.text}: {described(target)}",
        f"{left}; read its last lines above, or publish a mended image and update again",
        log=verdict.log,
    )


def try_candidate(site: Site, target: Target) -> Verdict:
    """Run the image beside the real one, where it can do no harm. Leaves nothing behind."""
    names, engine = site.names, site.engine
    spec = candidate_spec(site.settings, site.facts, site.sources, target.image.id)
    discard_candidate(site)
    if engine.volume_labels(names.candidate) is not None:
        raise DeployError(
            "failed",
            f"a volume {names.candidate} exists that FlageeMonitor did not make",
            f"look at it (`docker volume inspect {names.candidate}`), then remove it, or choose another runtime name",
        )
    try:
        engine.make_volume(names.candidate, {LABEL_RUNTIME: names.runtime, LABEL_ROLE: "candidate"})
        engine.create(spec)
        with state_archive(site.folders.data, site.folders.etc) as (archive, trouble):
            engine.put(names.candidate, DATA, archive)
        if trouble:
            site.tell("state_not_copied", f"{trouble}; the candidate begins with an empty state")
        site.tell("candidate_created", f"trying {described(target)} beside the running one")
        try:
            engine.start(names.candidate)
        except DeployError as error:
            return Verdict(False, error.message, lost=True)
        site.tell("candidate_started", "the candidate starts")
        verdict = wait_healthy(site, names.candidate, site.options.health_timeout)
        site.tell("candidate_judged", f"the candidate is {'healthy' if verdict.healthy else 'refused'}")
        return verdict
    finally:
        discard_candidate(site)


def discard_candidate(site: Site) -> None:
    """The container and its volume, whichever call left them; what is somebody else's stays."""
    name = site.names.candidate
    if site.ours(name) is not None:
        site.engine.stop(name, 10)
        site.engine.remove(name)
    labels = site.engine.volume_labels(name)
    if labels is not None and labels.get(LABEL_RUNTIME) == site.names.runtime:
        site.engine.remove_volume(name)


def pause_watchtower(site: Site) -> None:
    """Stopped, not killed: an update that it has begun is finished first, so that two never take one container in hand."""
    container = site.ours(site.names.watchtower)
    if container is not None and container.status in ("running", "restarting"):
        site.tell("watchtower_paused", "Watchtower waits meanwhile")
        site.engine.stop(container.id, WATCHTOWER_STOP_S)


def swap(site: Site, target: Target, *, verb: str, reason: str) -> Result:
    """With the door closed. The old container, if any, is kept until the new one is healthy."""
    # The name may stand for another image by now (a pull by somebody else): what was tried is what must run.
    follow_tag(site, target)
    make_sure(site, target)
    site.shield.seal()
    old = site.runtime()
    note = Swap(
        verb=verb,
        old=old.id if old else "",
        image_id=target.image.id,
        reference=target.reference,
        pin=target.pin,
        at=site.now(),
    )
    site.memory.commit(site.memory.records.model_copy(update={"swap": note}))
    try:
        verdict = _exchange(site, target, old)
    except DeployError as error:
        verdict = Verdict(False, error.message, lost=True)
    if verdict.healthy:
        finish(site, note)
        if old is None and reason == "updated":
            reason = "installed"
        return Result(reason, f"{site.names.runtime} runs {described(target)}")
    retire(site, target.image)
    if old is None:
        return _alone(site, target, verdict)
    site.tell("going_back", verdict.text)
    return go_back(site, f"{described(target)} failed after the swap, {verdict.text}", verdict.log)


def _alone(site: Site, target: Target, verdict: Verdict) -> Result:
    """Not healthy, and nothing to go back to. One that was healthy before may need longer than we wait; it is left to run."""
    site.memory.save(swap=None)
    if not verdict.lost and site.memory.records.known(target.image.id):
        text = f"{site.names.runtime} was made again from {described(target)} and runs, but {verdict.text}"
        return Result("repaired", text, "the next repair looks at it again", log=verdict.log)
    return Result(
        "broken",
        f"{described(target)} was started and is no good, {verdict.text}; there is no previous container to go back to",
        f"read `docker logs {site.names.runtime}`, mend the cause, then call {site.names.wrapper('update-image')}",
        log=verdict.log,
    )


def _exchange(site: Site, target: Target, old: Container | None) -> Verdict:
    names, engine = site.names, site.engine
    spec = site.spec(target.reference)
    if old is not None:
        site.tell("stopping", f"stopping the old container, at most {STOP_S} s")
        engine.stop(old.id, STOP_S)
        site.tell("stopped", "the old container is stopped")
        engine.rename(old.id, names.previous)
        site.tell("renamed", f"it is kept as {names.previous}")
    new = engine.create(spec)
    site.tell("created", "the new container is made")
    made = engine.container(new)
    if made is None or made.image_id != target.image.id:
        return Verdict(False, f"{target.reference} stands for another image now", lost=True)
    engine.start(new)
    site.tell("started", "the new container starts")
    verdict = wait_settled(site, new)
    site.tell("judged", f"the new container is {'healthy' if verdict.healthy else 'not healthy'}")
    return verdict


def make_sure(site: Site, target: Target) -> None:
    """That a container made from the reference gets this very image, while nothing is stopped yet. Raises DeployError."""
    there = site.have(target.reference)
    if there.id != target.image.id:
        raise DeployError(
            "image_unavailable",
            f"{target.reference} does not stand for {described(target)}; nothing was changed",
            f"correct FLAGEEMONITOR_IMAGE in the environment file, then call {site.names.wrapper('update-image')}",
        )


def _moves(site: Site, target: Target) -> bool:
    """Whether the reference is the tag that we may have stand for the image."""
    return target.reference == str(site.settings.image) and not site.settings.image.digest


def follow_tag(site: Site, target: Target) -> None:
    """Have the tag stand for the image on this host; Watchtower still sees when the registry has a newer one."""
    if not _moves(site, target):
        return
    there = site.engine.image(target.reference)
    if there is None or there.id != target.image.id:
        site.engine.tag(target.image.id, site.settings.image)


def finish(site: Site, note: Swap) -> None:
    """The new one is healthy: that is remembered first, then the previous one goes."""
    records, runtime = site.memory.records, site.runtime()
    image = site.engine.image(runtime.image_id) if runtime else None
    if image is not None:
        records = records.remember(image, site.settings.image.repository, site.now(), proved=False)
        records = records.accept(image.id)
    followed = records.followed if note.pin else note.reference
    site.memory.keep(records.model_copy(update={"swap": None, "pinned": note.pin, "followed": followed}))
    site.tell("remembered", "it is remembered as healthy")
    drop_previous(site)


def drop_previous(site: Site) -> None:
    previous = site.ours(site.names.previous)
    if previous is not None:
        site.engine.stop(previous.id, STOP_S)  # it was; unless somebody started it
        site.engine.remove(previous.id)
        site.tell("previous_removed", "the previous container is removed")


def go_back(site: Site, why: str, log: str = "") -> Result:
    """The previous container runs again, or nothing does. The swap is over either way, and so are its intentions."""
    try:
        verdict = _restore(site)
    except DeployError as error:
        verdict = Verdict(False, error.message, lost=True)
    if verdict.lost:
        names = site.names
        return Result(
            "broken",
            f"{why}; and the previous one does not run: {verdict.text}",
            f"read `docker logs {names.runtime}`, mend the cause, then call {names.wrapper('update-image')} --repair",
            log=log or verdict.log,
        )
    notes = () if verdict.healthy else (f"the previous one runs, but {verdict.text}",)
    return Result("restored", f"{why}; the previous one runs again", "read its last lines above", notes, log)


def _restore(site: Site) -> Verdict:
    names, engine = site.names, site.engine
    previous, new = site.ours(names.previous), site.runtime()
    if previous is not None:
        if new is not None:
            engine.stop(new.id, STOP_S)
            engine.remove(new.id)
            site.tell("new_removed", "the new container is removed")
        engine.rename(previous.id, names.runtime)
        site.tell("renamed_back", "the previous container has its name back")
    note, runtime = site.memory.records.swap, site.runtime()
    # Without a previous one, the old container was not touched yet; or this was the first installation.
    if runtime is None or (previous is None and note is not None and runtime.id != note.old):
        site.memory.save(swap=None)
        return Verdict(False, "there is none", lost=True)
    if not runtime.running:
        engine.start(runtime.id)
    site.memory.save(swap=None)  # from here on it is a runtime container like any other
    site.tell("restarted", "the previous container starts")
    return wait_healthy(site, runtime.id, site.options.health_timeout)


def retire(site: Site, image: Image) -> None:
    """A refused image may go as soon as nothing names or uses it, and Watchtower is not to take it."""
    if not site.memory.records.known(image.id):
        site.memory.keep(site.memory.records.retire(image.id).refuse(image, site.now()))


def described(target: Target) -> str:
    """For a person: version, revision and where it came from."""
    image = target.image
    named = " ".join(filter(None, (image.version, image.revision[:12] and f"({image.revision[:12]})")))
    return (
        f"{named} of {target.reference}" if named else f"{image.id.removeprefix('sha256:')[:12]} of {target.reference}"
    )
