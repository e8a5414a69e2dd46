"""`deploy install`: from a checked host to a proxy that runs, or back to what was there. Called by runtime.deployment.calls.

Nothing of the present installation is changed before everything that can fail was tried; a first installation that fails leaves
nothing. The environment file is the last thing that changes: it and the version that runs always belong together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from contracts.ids import uuid7
from contracts.text import say
from contracts.web_proxy import LOGINS_FILE
from runtime.adapters.state.files import read_plain, write_atomically
from runtime.adapters.untrusted_files import write_for_owner
from runtime.deployment import verbs
from runtime.deployment.deployment import Deployment, Folders
from runtime.deployment.enrolment import NotEnrolled, enrol
from runtime.deployment.environment_lines import PREFIX, parse
from runtime.deployment.host_files import (
    CREDENTIALS_FILE,
    ENV_FILE,
    credentials_source,
    prepare_folders,
    windows_sources,
    write_proxy_logins,
)
from runtime.deployment.names import HostOs, Names
from runtime.deployment.neighbours import MARKER, Neighbours, Problem, folder_problems, look, problems
from runtime.deployment.request import CA_FILE, InstallRequest, Order, seen_folder
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.specification import Sources
from runtime.deployment.summary import plan, summary
from runtime.deployment.taking_back import NEXT_FILE, Changes, undo
from runtime.deployment.timer import timer_files

_LEGACY_STOP_S = 150


class ChecksFailed(DeployError):
    """Something is in the way; nothing was changed."""

    def __init__(self, found: list[Problem]) -> None:
        super().__init__("checks_failed", say("Not installed; nothing was changed."))
        self.problems = tuple(found)


def present(etc: Path) -> tuple[bytes | None, str]:
    """The environment file as it is, None without one; and the agent id: its own, that of an installation that was killed, or a
    new one. Raises OSError."""
    try:
        before = read_plain(etc / ENV_FILE)
    except FileNotFoundError:
        return None, _marked(etc).get("agent") or uuid7()
    return before, parse(before).values.get(f"{PREFIX}AGENT_ID") or uuid7()


def _marked(etc: Path) -> dict[str, str]:
    """What the marker says: it is there while a first installation has not come to its environment file."""
    try:
        lines = read_plain(etc / MARKER).decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}


def check_folders(folders: Folders, names: Names, system: HostOs, request: InstallRequest) -> None:
    """Before anything is written, the lock included. Raises ChecksFailed."""
    found = list(folder_problems(folders, names, system))
    handed_on = {f"/etc/{names.runtime}": folders.etc}
    if system == "linux":  # on Windows the data is in a volume
        handed_on[f"/var/lib/{names.runtime}"] = folders.data
    for place, folder in handed_on.items() if request.seen else ():
        if folder.is_dir() and not (folder / seen_folder(request.seen)).is_dir():
            found.append(
                Problem(
                    say("The engine mounts another folder than the one that this host has at {folder}.", folder=place),
                    say("Does Docker run in a sandbox (snap) or on another machine? Use Docker Engine on this host."),
                )
            )
    if found:
        raise ChecksFailed(found)


def install(deployment: Deployment, order: Order) -> tuple[Result, dict[str, Any]]:
    """The result, and for people what to know next: ``plan`` or ``summary``, lists of sentences. Never raises DeployError."""
    try:
        here = _checked(deployment, order)
        if order.options.dry_run:
            result = Result("planned", say("All checks passed. Nothing was changed (--dry-run)."))
            return result, {"plan": plan(deployment, order, here)}
    except DeployError as error:
        return as_result(error), {"problems": problems_of(error)}
    fresh = order.before is None and not {deployment.names.runtime, deployment.names.previous} & here.ours.keys()
    new_data = _is_empty(deployment.folders.data) or _marked(deployment.folders.etc).get("data") == "new"
    changes = Changes(fresh, fresh and new_data)
    try:
        result, report = _carry_out(deployment, order, changes)
    except DeployError as error:
        result, report = as_result(error), {}
    except OSError as error:
        advice = say("Free space on the disk of this host, then start again.")
        result, report = (
            Result("failed", say("A file of this host could not be written: {cause}", cause=error), advice),
            {},
        )
    deployment.defer_signals()
    if changes.kept:
        return _complete(deployment, order, here, result, report)
    return undo(deployment, order, changes, result), report


def problems_of(error: DeployError) -> list[dict[str, str]]:
    """For people, and for JSON."""
    found = error.problems if isinstance(error, ChecksFailed) else ()
    return [{"text": one.text, "advice": one.advice} for one in found]


def _is_empty(folder: Path) -> bool:
    """But for what the installer made there."""
    return not folder.is_dir() or all(path.name.startswith(".seen-") for path in folder.iterdir())


def _checked(deployment: Deployment, order: Order) -> Neighbours:
    """Raises ChecksFailed."""
    request, options = order.request, order.options
    here = look(deployment.engine, deployment.names, request.get("LEGACY_FOLDER"))
    found = list(
        problems(here, deployment.engine, deployment.folders, deployment.system, options, request.get("NETWORK"))
    )
    if deployment.engine.image(str(deployment.settings.image)) is None:
        reference = deployment.settings.image
        found.append(
            Problem(
                say("The image {reference} is not on this host.", reference=reference),
                say("docker pull {reference}", reference=reference),
            )
        )
    advice = say(
        "Start the installer with HTTPS_PROXY=http://user:password@host:port in root's environment; the environment file keeps "
        "it."
    )
    found += (Problem(text, advice) for text in deployment.web_proxies.unusable)
    if found:
        raise ChecksFailed(found)
    return here


def _carry_out(deployment: Deployment, order: Order, changes: Changes) -> tuple[Result, dict[str, Any]]:
    """Up to a runtime that is healthy and the environment file that belongs to it. Raises DeployError and OSError."""
    folders, names, notify = deployment.folders, deployment.names, deployment.notify
    if changes.fresh:
        data = "new" if changes.new_data else "kept"
        write_atomically(folders.etc / MARKER, f"{names.runtime}\nagent={order.agent_id}\ndata={data}\n".encode())
    _remove_seen(folders)
    prepare_folders(folders.etc, folders.data, deployment.sources, deployment.system)
    (folders.etc / "config").mkdir(mode=0o700, exist_ok=True)
    _write_given_files(deployment, order, changes)
    deployment = replace(deployment, sources=_sources(deployment))
    changes.remember_owned(folders.etc, LOGINS_FILE)
    # Written now, so that a full disk is noticed before anything runs; put in force by a rename, which needs no space.
    write_proxy_logins(folders.etc, deployment.web_proxies.logins())
    write_atomically(folders.etc / NEXT_FILE, order.environment.text.encode("utf-8", "surrogateescape"))
    notify(
        "enrolling",
        say(
            "enrolling agent {agent} for network {network}", agent=order.agent_id, network=order.request.get("NETWORK")
        ),
    )
    try:
        enrolled = enrol(deployment, order.request, order.agent_id)
    except NotEnrolled as error:
        changes.enrolled = error.new
        raise
    changes.enrolled = enrolled.new
    notify(
        "enrolled",
        say("enrolled; the configuration is here") if enrolled.new else say("the agent and its token are kept"),
    )
    options = replace(deployment.options, trial=False, soak=0.0) if changes.fresh else deployment.options
    deployment = replace(deployment, options=options)
    notes = [*enrolled.notes, *order.environment.kept]
    try:
        result = verbs.apply(deployment)
    except DeployError as error:
        if error.reason != "pinned":
            raise
        # The rest of the settings comes into force with the next repair, which keeps the pin.
        result = Result("unchanged", error.message)
        notes.append(error.advice)
    if result.exit_code:
        return result, {}
    deployment.defer_signals()
    changes.kept = True
    (folders.etc / NEXT_FILE).replace(folders.etc / ENV_FILE)
    (folders.etc / MARKER).unlink(missing_ok=True)
    result = replace(result, notes=(*result.notes, *notes))
    return verbs.conclude(deployment, "install", result)


def _remove_seen(folders: Folders) -> None:
    for folder in (folders.etc, folders.data):
        for path in folder.glob(".seen-*"):
            with contextlib.suppress(OSError):
                path.rmdir()


def _write_given_files(deployment: Deployment, order: Order, changes: Changes) -> None:
    """The authority and the registry's credentials, if the installer gave any."""
    etc, request = deployment.folders.etc, order.request
    if credentials := request.credentials.reveal():
        (etc / CREDENTIALS_FILE.parent).mkdir(mode=0o700, exist_ok=True)
        _put(etc / CREDENTIALS_FILE, credentials.encode(), changes, mode=0o600)
    if request.ca:
        # Twice: root reads nothing that the proxy may have changed.
        _put(etc / CA_FILE, request.ca.encode(), changes, mode=0o444)
        changes.remember_owned(etc, CA_FILE)
        write_for_owner(etc / "config", CA_FILE, request.ca.encode(), mode=0o444)


def _put(path: Path, content: bytes, changes: Changes, *, mode: int) -> None:
    try:
        changes.files[path] = read_plain(path)
    except FileNotFoundError:
        changes.files[path] = None
    write_atomically(path, content, mode=mode)


def _sources(deployment: Deployment) -> Sources:
    """As at the start, with the credentials that may be new."""
    sources, etc = deployment.sources, deployment.folders.etc
    if deployment.system == "windows":
        return windows_sources(deployment.engine, deployment.names, sources, etc)
    return replace(sources, credentials=credentials_source(etc, sources.config))


# -- and to the end --


def _complete(
    deployment: Deployment, order: Order, here: Neighbours, result: Result, report: dict[str, Any]
) -> tuple[Result, dict[str, Any]]:
    notes = list(result.notes)
    try:
        write_timer(deployment, order)
    except OSError as error:
        result = replace(
            result,
            reason="failed",
            message=say("The proxy runs, but its repair timer could not be written: {cause}", cause=error),
            advice=say("Correct that, then start the installer again."),
        )
    if order.options.legacy == "replace":
        notes += _stop_first_generation(deployment, here)
    os.sync()  # what is said to be there is there after a power cut as well
    return replace(result, notes=tuple(notes)), {**report, "summary": summary(deployment, order)}


def write_timer(deployment: Deployment, order: Order) -> None:
    """Raises OSError."""
    folder = deployment.folders.timer
    if folder is None:
        return
    for name, text in timer_files(order.options.timer, deployment.names, order.request.get("HOSTNAME")).items():
        path = folder / name
        if not path.is_file() or path.is_symlink() or path.read_text() != text:
            write_atomically(path, text.encode(), mode=0o644)


def _stop_first_generation(deployment: Deployment, here: Neighbours) -> Iterator[str]:
    """Their files stay. A sentence for each that could not be stopped."""
    found = deployment.runtime()
    if found is None or not found.running:
        yield say(
            "The proxy does not run yet, so that of the first generation was left alone. Start this again when it does."
        )
        return
    for proxy in here.first_generation:
        for name in (f"{proxy}-watchtower", proxy):
            if not here.is_first_generation(name):
                continue
            deployment.notify("legacy", say("stopping {name} permanently; its files stay", name=name))
            try:
                deployment.engine.stop_for_good(name, _LEGACY_STOP_S)
            except DeployError as error:
                yield say(
                    "{name} was not stopped ({cause}). Do it by hand: docker update --restart=no {name}; docker stop {name}",
                    name=name,
                    cause=error.message,
                )
