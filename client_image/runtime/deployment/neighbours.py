"""What else is on the host under our names or beside us, and must be left alone. Changes nothing. Called by installation.

Every problem is collected, so that an operator corrects all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.text import say
from runtime.deployment.deployment import Folders
from runtime.deployment.engine import Container, Engine
from runtime.deployment.environment_lines import PREFIX, parse
from runtime.deployment.host_files import ENV_FILE, commands, is_ours
from runtime.deployment.names import UID, HostOs, Names
from runtime.deployment.request import InstallOptions
from runtime.deployment.specification import LABEL_WATCHTOWER

MARKER = ".flageemonitor"  # whose the folder is, until the environment file says so
# What a proxy of the first generation is called; its Watchtower as well, with -watchtower.
FIRST_GENERATION = ("ariusmonitor", "flageemonitor")
_HEAD_BYTES = 65536
_WORKING_FILES = ("deploy.lock", MARKER)


@dataclass(frozen=True, slots=True)
class Problem:
    """``text``: what is in the way; ``advice``: what to do."""

    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The host's containers by name, and what an installation must know of them. ``legacy_folder``: of the first generation, if
    the installer found one."""

    names: Names
    containers: Mapping[str, Container]
    legacy_folder: str = ""

    @property
    def ours(self) -> Mapping[str, Container]:
        """Containers of this runtime, those of deploy itself left out."""
        parts = {self.names.runtime, self.names.watchtower, self.names.candidate, self.names.previous}
        return {
            name: one for name, one in self.containers.items() if name in parts and one.belongs_to(self.names.runtime)
        }

    @property
    def first_generation(self) -> tuple[str, ...]:
        """Proxies of the first generation: they have our names and no label of ours."""
        return tuple(name for name in FIRST_GENERATION if self.is_first_generation(name))

    def is_first_generation(self, name: str) -> bool:
        found = self.containers.get(name)
        return found is not None and "flageemonitor.runtime" not in found.labels


def look(engine: Engine, names: Names, legacy_folder: str = "") -> Neighbours:
    """Raises DeployError when the engine does not say."""
    return Neighbours(names, {one.name: one for one in engine.list_containers()}, legacy_folder)


def folder_problems(folders: Folders, names: Names, system: HostOs) -> Iterator[Problem]:
    """Folders with our names that hold somebody else's files. Asked before anything is written into them."""
    if system == "windows":
        return  # its installer looks at owners and rights
    advice = say("Move it away, or choose another name with --runtime-name.")
    etc, data = folders.etc, folders.data
    known = any((etc / name).is_file() for name in (ENV_FILE, MARKER))
    if not known and any(not _is_working_file(path) for path in _children(etc)):
        yield Problem(
            say("The folder of the settings, /etc/{runtime}, was not made by this installer.", runtime=names.runtime),
            advice,
        )
    foreign_owner = data.is_dir() and data.stat().st_uid != UID
    if not known and foreign_owner and any(not _is_working_file(path) for path in _children(data)):
        yield Problem(
            say("The folder of the data, /var/lib/{runtime}, belongs to something else.", runtime=names.runtime), advice
        )


def problems(
    here: Neighbours, engine: Engine, folders: Folders, system: HostOs, options: InstallOptions, network: str = ""
) -> Iterator[Problem]:
    """``network``: the one that is to be served; empty: whichever. Raises DeployError."""
    yield from _strangers(here)
    yield from _foreign_commands(here.names, folders.bin, system)
    yield from _another_network(here.names, folders.etc, network)
    yield from _first_generation(here, folders.etc, options)
    if not options.foreign_watchtower:
        yield from _foreign_watchtowers(here, options)
    chosen = options.docker_network
    if chosen not in ("", "bridge", "host") and not engine.has_network(chosen):
        yield Problem(
            say("There is no Docker network {network}.", network=chosen),
            say("Create it first: docker network create {network}", network=chosen),
        )


def _strangers(here: Neighbours) -> Iterator[Problem]:
    names = here.names
    for name in (names.runtime, names.watchtower, names.candidate, names.previous):
        found = here.containers.get(name)
        if found is None or found.belongs_to(names.runtime):
            continue
        advice = say("Remove or rename it, or choose another name with --runtime-name.")
        if name == names.runtime and name in here.first_generation:
            advice = say(
                "It seems to be of the first generation. Install beside it with --runtime-name NAME --replace-legacy, which "
                "stops it once the new one runs; --beside-legacy instead leaves it alone."
            )
        yield Problem(say("A container {name} exists that FlageeMonitor did not make.", name=name), advice)


def _foreign_commands(names: Names, folder: Path, system: HostOs) -> Iterator[Problem]:
    for name in commands(names, system):
        path = folder / name
        if path.is_symlink() or path.is_dir() or (path.is_file() and not _has_our_head(path, names.runtime)):
            yield Problem(
                say("A command {name} exists that FlageeMonitor did not write.", name=name),
                say("Move it away, or choose another name with --runtime-name."),
            )


def _has_our_head(path: Path, runtime: str) -> bool:
    with path.open("rb") as file:
        return is_ours(file.read(_HEAD_BYTES), runtime)


def _another_network(names: Names, etc: Path, network: str) -> Iterator[Problem]:
    path = etc / ENV_FILE
    serves = parse(path.read_bytes()).values.get(f"{PREFIX}REDE", "") if path.is_file() else ""
    if network and serves not in ("", network):
        yield Problem(
            say(
                "{runtime} on this host serves network {serves}; this installer is for network {network}.",
                runtime=names.runtime,
                serves=serves,
                network=network,
            ),
            say("Install under another name with --runtime-name, or remove the present one with --uninstall first."),
        )


def _first_generation(here: Neighbours, etc: Path, options: InstallOptions) -> Iterator[Problem]:
    others = [name for name in here.first_generation if name != here.names.runtime]
    signs = [say("the container {name}", name=name) for name in others]
    if here.legacy_folder:
        signs.append(say("the folder {folder}", folder=here.legacy_folder))
    ours = [
        name
        for name in FIRST_GENERATION
        if name != here.names.runtime and name in here.containers and name not in others
    ]
    if options.legacy == "replace" and not signs and ours:
        yield Problem(
            say("The proxy {name} on this host is not of the first generation.", name=ours[0]),
            say("Leave --replace-legacy out. To remove that proxy: {name}-uninstall", name=ours[0]),
        )
    working = any(here.containers[name].running for name in others)
    fresh = not (etc / ENV_FILE).is_file()
    if not options.legacy and (working or (fresh and signs)):
        yield Problem(
            say(
                "A proxy of the first generation is on this host ({signs}): both would work on the same terminals.",
                signs=", ".join(signs),
            ),
            say("Choose: --replace-legacy stops it once this one runs, --beside-legacy leaves it alone."),
        )


def _foreign_watchtowers(here: Neighbours, options: InstallOptions) -> Iterator[Problem]:
    for name, container in here.containers.items():
        if not container.running or not _is_unscoped_watchtower(container):
            continue
        owner = name.removesuffix("-watchtower")
        if options.legacy == "replace" and name != here.names.watchtower and owner in here.first_generation:
            continue
        yield Problem(
            say(
                "The container {name} is a Watchtower without a scope: it would update the proxy without asking it.",
                name=name,
            ),
            say("Give it a scope (WATCHTOWER_SCOPE), or accept that with --allow-foreign-watchtower."),
        )


def _is_unscoped_watchtower(container: Container) -> bool:
    config: Any = container.raw.get("Config") or {}
    if container.labels.get(LABEL_WATCHTOWER) != "true" and "watchtower" not in container.made_from:
        return False
    words = [*(container.raw.get("Args") or ()), *(config.get("Cmd") or ())]
    scoped = any(str(word) == "--scope" or str(word).startswith("--scope=") for word in words)
    variables = [str(line).partition("=") for line in config.get("Env") or ()]
    return not scoped and not any(key == "WATCHTOWER_SCOPE" and value for key, _, value in variables)


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_working_file(path: Path) -> bool:
    return path.name in _WORKING_FILES or path.name.startswith(".seen-")
