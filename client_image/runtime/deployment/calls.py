"""One call of deploy from the lock to its answer: each verb with everything that it works with. Called by runtime.deploy.

Every problem of the host becomes a Result. Docker's library is loaded only when a verb begins, because it takes half a second.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from contracts.text import say
from runtime.adapters.state.files import locked
from runtime.deployment import host_files
from runtime.deployment.deployment import Deployment, Folders, Notify, Options
from runtime.deployment.engine import Engine
from runtime.deployment.environment import DeploySettings, read_settings
from runtime.deployment.environment_lines import parse
from runtime.deployment.interruptions import StopSignals
from runtime.deployment.names import HostOs, Names, name_problem
from runtime.deployment.neighbours import MARKER, Problem
from runtime.deployment.records import RecordFile
from runtime.deployment.removal import LOCK
from runtime.deployment.request import InstallOptions, Order, environment_text, read_request
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.specification import Sources
from runtime.deployment.web_proxies import found_by_installer


class SystemClock:
    """The machine's clocks."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one call of deploy works."""

    runtime: str
    folders: Folders
    sources: Sources
    engine_url: str
    options: Options
    notify: Notify
    system: HostOs = "linux"


Answer = tuple[Result, dict[str, Any]]


def deploy(place: Place, verb: str) -> Answer:
    """One verb, from reading the environment file to the report."""
    from runtime.deployment import verbs

    return _answered(
        lambda: _with_deployment(
            place,
            lambda: host_files.read_environment_file(place.folders.etc, place.runtime, place.system),
            lambda deployment: verbs.run(deployment, verb),
            changes=verb != "status",
        )
    )


def install(place: Place, raw: bytes, options: InstallOptions, environ: Mapping[str, str]) -> Answer:
    """``raw``: the installer's request. ``environ``: of whoever installs, for HTTP proxies. As deploy, for a host that may have
    nothing yet."""
    from runtime.deployment import installation

    def work() -> Answer:
        request = read_request(raw)
        if problem := name_problem(place.runtime):
            raise DeployError("bad_request", say("--runtime-name {problem}", problem=problem))
        names = Names(place.runtime)
        installation.check_folders(place.folders, names, place.system, request)
        before, agent_id = installation.present(place.folders.etc)
        try:
            web_proxies = found_by_installer(environ, parse(before or b"").values)
        except ValueError as error:
            advice = say("Correct it, or start the installer with HTTPS_PROXY=http://proxy.example:3128 before it.")
            raise installation.ChecksFailed([Problem(str(error), advice)]) from error
        environment = environment_text(before, place.runtime, request, options, agent_id, web_proxies)
        order = Order(request, options, agent_id, before, environment)
        return _with_deployment(
            place,
            lambda: read_settings(environment.text.encode("utf-8", "surrogateescape"), place.runtime, place.system),
            lambda deployment: installation.install(deployment, order),
            changes=not options.dry_run,
            prepare=False,
        )

    return _answered(work)


def uninstall(place: Place, *, delete_data: bool, dry_run: bool) -> Answer:
    """Needs no environment file."""
    from runtime.deployment import removal

    names = Names(place.runtime)

    def work(engine: Engine) -> Answer:
        if not dry_run:  # half of a proxy is neither installed nor removed
            signals = StopSignals()
            signals.defer()
            signals.listen()
        return (
            removal.uninstall(
                engine,
                names,
                place.folders,
                place.system,
                place.notify,
                delete_data=delete_data,
                dry_run=dry_run,
            ),
            {},
        )

    return _answered(lambda: _with_engine(place, work, changes=not dry_run))


def neighbours(place: Place, options: InstallOptions) -> Answer:
    """What is beside this runtime and in the way of an installation. Changes nothing."""
    from runtime.deployment import neighbours as beside
    from runtime.deployment.installation import ChecksFailed, problems_of

    names = Names(place.runtime)

    def work(engine: Engine) -> Answer:
        here = beside.look(engine, names)
        found = [
            *beside.folder_problems(place.folders, names, place.system),
            *beside.problems(here, engine, place.folders, place.system, options),
        ]
        if found:
            error = ChecksFailed(found)
            return as_result(error), {"problems": problems_of(error)}
        return Result("no_problems", say("Nothing on this host is in the way of {runtime}.", runtime=place.runtime)), {}

    return _answered(lambda: _with_engine(place, work, changes=False))


def _with_deployment(
    place: Place,
    settings_of: Callable[[], DeploySettings],
    work: Callable[[Deployment], Answer],
    *,
    changes: bool,
    prepare: bool = True,
) -> Answer:
    """``prepare``: the folders exist, or may be made. Raises DeployError and OSError."""
    settings, folders = settings_of(), place.folders

    def begin(engine: Engine) -> Answer:
        record_file = RecordFile(folders.etc, read_only=not changes)
        sources = place.sources
        if place.system == "windows":
            sources = host_files.windows_sources(engine, settings.names, sources, folders.etc)
        signals = StopSignals()
        deployment = Deployment(
            settings=settings,
            engine=engine,
            facts=engine.facts(),
            record_file=record_file,
            folders=folders,
            sources=sources,
            options=place.options,
            clock=SystemClock(),
            notify=place.notify,
            defer_signals=signals.defer,
            system=place.system,
        )
        if changes:
            signals.listen()
        if changes and prepare:
            host_files.prepare_folders(folders.etc, folders.data, sources, place.system)
        return work(deployment)

    return _with_engine(place, begin, changes=changes)


def _with_engine(place: Place, work: Callable[[Engine], Answer], *, changes: bool) -> Answer:
    """Under the lock, if anything is changed. Raises DeployError and OSError."""
    from runtime.deployment.docker_engine import (
        DockerEngine,  # loading the SDK takes half a second, which --help need not pay
    )

    etc = place.folders.etc
    with locked(etc / LOCK) if changes else nullcontext(-1) as lock:
        if lock is None:
            advice = say("wait until it has ended, then check with --status")
            return Result("busy", say("another deploy works on {runtime}", runtime=place.runtime), advice), {}
        engine = DockerEngine(place.engine_url, etc / host_files.CREDENTIALS_FILE)
        try:
            return work(engine)
        finally:
            engine.close()
            if changes and not any((etc / name).exists() for name in (host_files.ENV_FILE, MARKER)):
                (etc / LOCK).unlink(missing_ok=True)  # nothing is installed: the caller removes an empty folder


def _answered(work: Callable[[], Answer]) -> Answer:
    """Every problem of the host becomes a Result."""
    from runtime.deployment.installation import problems_of

    try:
        return work()
    except DeployError as error:
        found = problems_of(error)
        return as_result(error), {"problems": found} if found else {}
    except OSError as error:
        advice = say("check that the host's folders are mounted, and that their disk has space")
        return Result("failed", f"{error}", advice), {}
