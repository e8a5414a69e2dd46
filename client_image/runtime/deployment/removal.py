"""`deploy uninstall`: removes a runtime from its host; its data only when asked by name. Called by runtime.deploy.

It needs no environment file, no control plane and no token. Containers go first: nothing of the settings is removed while one of
them may still run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from contracts.text import all_of, joined, say
from runtime.deployment.deployment import Folders, Notify
from runtime.deployment.engine import Engine
from runtime.deployment.host_files import ENV_FILE, commands, is_ours
from runtime.deployment.names import LABEL_RUNTIME, HostOs, Names, environment_file
from runtime.deployment.neighbours import MARKER, look
from runtime.deployment.results import DeployError, Result
from runtime.deployment.timer import cron_file

LOCK = "deploy.lock"
_STOP_S = 150
_WATCHTOWER_STOP_S = 240
_HEAD_BYTES = 65536


def uninstall(
    engine: Engine, names: Names, folders: Folders, system: HostOs, notify: Notify, *, delete_data: bool, dry_run: bool
) -> Result:
    """Raises DeployError when nothing was changed, and OSError."""
    _refuse_strangers(engine, names)
    here = look(engine, names)
    known = any((folders.etc / name).is_file() for name in (ENV_FILE, MARKER))
    written = [name for name in commands(names, system) if _is_our_command(folders.bin / name, names)]
    if not known and not here.ours and not written:
        return Result("unchanged", say("Nothing to remove: {runtime} is not installed here.", runtime=names.runtime))
    data = say("the data") if delete_data else say("nothing of the data")
    if dry_run:
        text = say(
            "Nothing was changed (--dry-run). To be removed: the containers {containers}, the commands {commands}, the timer, "
            "the settings and credentials, {data}.",
            containers=joined(here.ours) or names.runtime,
            commands=joined(written) or names.wrapper("*"),
            data=data,
        )
        return Result("planned", text)
    notes = [*_remove_timer(folders, names)]
    left = remove_containers(engine, names, notify)
    if left:
        raise DeployError(
            "failed",
            say("Not removed: {left}. Settings, data and commands stay.", left=all_of(left)),
            say("When the Docker engine answers, start this again."),
        )
    notify("removing_files", say("removing commands, settings and credentials"))
    notes += _remove_commands(folders.bin, names, system)
    keep_identity = not delete_data and (folders.etc / ENV_FILE).is_file()
    clear_folder(folders.etc, keep=(ENV_FILE,) if keep_identity else ())
    if delete_data:
        notify("deleting_data", say("deleting the data"))
        clear_folder(folders.data)
    elif keep_identity:
        # The data belongs to this agent: an installation that finds it again must be the same one.
        notes.append(_kept(names, system))
    notes.append(
        say("Its token is still valid on the control plane. Revoke it there: flagee-server token list, token revoke ID")
    )
    return Result("removed", say("{runtime} is removed.", runtime=names.runtime), notes=tuple(notes))


def _kept(names: Names, system: HostOs) -> str:
    """What stays, and how to remove it by hand: the command that could is gone by then."""
    file = environment_file(names.runtime, system)
    if system == "windows":
        return say(
            "Kept: {file} (identity) and the volume {volume} (data). To delete both: remove that folder, then "
            "docker volume rm {volume}",
            file=file,
            volume=f"{names.runtime}-data",
        )
    data = f"/var/lib/{names.runtime}"
    return say(
        "Kept: {file} (identity) and {data} (data). To delete both: rm -r {folder} {data}",
        file=file,
        data=data,
        folder=f"/etc/{names.runtime}",
    )


def remove_containers(engine: Engine, names: Names, notify: Notify) -> list[str]:
    """Sentences on what may still be there; empty when it is sure that nothing is. Never raises.

    Watchtower first: it would start again what is stopped. Containers of others stay.
    """
    left: list[str] = []
    for name in (names.watchtower, names.candidate, names.previous, names.runtime):
        try:
            found = engine.container(name)
            if found is None or not found.belongs_to(names.runtime):
                continue
            notify(
                "removing_container", say("stopping and removing {name}; runs at work get their time to end", name=name)
            )
            engine.stop(found.id, _WATCHTOWER_STOP_S if name == names.watchtower else _STOP_S)
            engine.remove(found.id)
        except DeployError as error:
            left.append(say("container {name} ({cause})", name=name, cause=error.message))
    try:
        labels = engine.volume_labels(names.candidate)
        if labels is not None and labels.get(LABEL_RUNTIME) == names.runtime:
            engine.remove_volume(names.candidate)
    except DeployError as error:
        left.append(say("volume {name} ({cause})", name=names.candidate, cause=error.message))
    return left


def clear_folder(folder: Path, keep: tuple[str, ...] = ()) -> None:
    """Remove everything in it, never through a link; the marker and the lock last, so that a killed call is known again.

    The folder itself is a mount: who mounted it removes it. Raises OSError.
    """
    if not folder.is_dir():
        return
    last = (MARKER, ENV_FILE, LOCK)
    for path in sorted(folder.iterdir(), key=lambda one: last.index(one.name) if one.name in last else -1):
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _refuse_strangers(engine: Engine, names: Names) -> None:
    """The first generation has the same names: without its files it would go on."""
    strangers = [
        name
        for name in (names.runtime, names.watchtower, names.candidate, names.previous)
        if (found := engine.container(name)) is not None and not found.belongs_to(names.runtime)
    ]
    if strangers:
        raise DeployError(
            "not_installed",
            say(
                "Not removed: FlageeMonitor did not make the containers {names}. Nothing was changed.",
                names=joined(strangers),
            ),
            say(
                "If they are to be removed as well: docker rm -f {names}. Then start this again.",
                names=" ".join(strangers),
            ),
        )


def _is_our_command(path: Path, names: Names) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return is_ours(file.read(_HEAD_BYTES), names.runtime)


def _remove_commands(folder: Path, names: Names, system: HostOs) -> Iterator[str]:
    for name in commands(names, system):
        path = folder / name
        if _is_our_command(path, names):
            path.unlink(missing_ok=True)
        elif path.is_symlink() or path.exists():
            yield say("{name} was not removed: FlageeMonitor did not write it.", name=name)


def _remove_timer(folders: Folders, names: Names) -> Iterator[str]:
    """Of every kind: which one was set is not recorded."""
    if folders.timer is None:
        return
    unit = names.wrapper("repair")
    for name in (f"{unit}.service", f"{unit}.timer", cron_file(names)):
        try:
            (folders.timer / name).unlink(missing_ok=True)
        except OSError as error:
            yield say("{name} could not be removed: {cause}", name=name, cause=error.strerror or error)
