"""The Docker engine, through its SDK: the only module that imports it. Every failure becomes a DeployError with a reason code."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker import auth
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from contracts.image_reference import Reference
from contracts.text import say
from runtime.adapters.http_deadline import DeadlinePassed, paced
from runtime.deployment.engine import Container, EngineFacts, Image, Probe
from runtime.deployment.results import DeployError

ANSWER_S = 60  # for any plain request; a stop adds its own time
PULL_SILENCE_S = 900.0  # between two lines of a pull's progress
PULL_S = 4 * 3600.0  # a large image over the slowest line of a store

_FAULTS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)
_ADVICE = say("check that the engine runs (`docker info`), then try again; `journalctl -u docker` tells more")


class DockerEngine:
    """The engine behind a unix socket. ``credentials``: a docker config.json, which need not exist."""

    def __init__(self, url: str, credentials: Path) -> None:
        self._credentials = credentials
        with _translated(say("connect to the engine")):
            self._api = docker.APIClient(base_url=url, version="auto", timeout=ANSWER_S)

    def close(self) -> None:
        self._api.close()

    def facts(self) -> EngineFacts:
        with _translated(say("ask the engine for its version")):
            version, info = self._api.version(), self._api.info()
        return EngineFacts(
            version=str(version.get("Version", "")),
            api=str(version.get("ApiVersion", "")),
            api_min=str(version.get("MinAPIVersion", "")),
            memory_limit=bool(info.get("MemoryLimit", True)),
            pids_limit=bool(info.get("PidsLimit", True)),
            https_proxy=str(info.get("HttpsProxy") or ""),
            http_proxy=str(info.get("HttpProxy") or ""),
            no_proxy=str(info.get("NoProxy") or ""),
            selinux=any("name=selinux" in str(option).split(",") for option in info.get("SecurityOptions") or ()),
        )

    def image(self, reference: str) -> Image | None:
        with _translated(say("inspect image {reference}", reference=reference)):
            try:
                raw = self._api.inspect_image(reference)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None
        return _image(raw)

    def pull(self, reference: Reference) -> Image:
        what = say("pull {reference}", reference=reference)
        try:
            login = self._login(reference)
            # The SDK sets no time limit here, and the engine passes on what the registry does.
            for line in paced(
                lambda: self._api.pull(
                    reference.repository,
                    tag=reference.digest or reference.tag,
                    stream=True,
                    decode=True,
                    auth_config=login,
                ),
                silence=PULL_SILENCE_S,
                whole=PULL_S,
                monotonic=time.monotonic,
            ):
                if isinstance(line, dict) and line.get("error"):
                    raise DeployError(
                        "image_unavailable",
                        say("cannot {what}: {cause}", what=what, cause=line["error"]),
                        _pull_advice(reference),
                    )
        except (*_FAULTS, DeadlinePassed) as error:
            raise DeployError(
                "image_unavailable",
                say("cannot {what}: {cause}", what=what, cause=_in_one_line(error)),
                _pull_advice(reference),
            ) from error
        found = self.image(str(reference))
        if found is None:
            raise DeployError(
                "image_unavailable",
                say("{reference} was pulled, but the engine does not have it", reference=reference),
                _ADVICE,
            )
        return found

    def tag(self, image_id: str, reference: Reference) -> None:
        with _translated(say("tag image {image_id} as {reference}", image_id=image_id, reference=reference)):
            self._api.tag(image_id, reference.repository, reference.tag, force=True)

    def remove_image(self, image_id: str) -> bool:
        try:
            self._api.remove_image(image_id, force=False, noprune=False)
        except (DockerException, requests.RequestException):
            return False
        return True

    def tag_digest(self, reference: Reference) -> str:
        try:
            login = self._login(reference)
            answer = self._api.inspect_distribution(str(reference), auth_config=login)  # type: ignore[no-untyped-call]
        except _FAULTS as error:
            text = say(
                "the registry did not say what {reference} is: {cause}",
                reference=reference,
                cause=_in_one_line(error),
            )
            raise DeployError("image_unavailable", text, _pull_advice(reference)) from error
        digest = answer.get("Descriptor", {}).get("digest")
        if not isinstance(digest, str) or not digest:
            raise DeployError(
                "image_unavailable", say("the registry gave no digest for {reference}", reference=reference)
            )
        return digest

    def container(self, name: str) -> Container | None:
        with _translated(say("inspect container {name}", name=name)):
            try:
                raw = self._api.inspect_container(name)
            except NotFound:
                return None
        found = _container(raw)
        # The engine also finds containers by the beginning of their id.
        return found if name in (found.name, found.id) else None

    def list_containers(self) -> tuple[Container, ...]:
        with _translated(say("list the containers")):
            found = []
            for one in self._api.containers(all=True):
                with contextlib.suppress(NotFound):  # it has ended since
                    found.append(_container(self._api.inspect_container(one["Id"])))
        return tuple(found)

    def has_network(self, name: str) -> bool:
        with _translated(say("inspect network {name}", name=name)):
            try:
                self._api.inspect_network(name)
            except NotFound:
                return False
        return True

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        with _translated(say("create container {name}", name=name)):
            made = self._api.create_container_from_config(dict(body), name=name)  # type: ignore[no-untyped-call]
            return str(made["Id"])

    def start(self, name: str) -> None:
        with _translated(say("start container {name}", name=name)):
            if self._api.inspect_container(name)["State"].get("Paused"):
                self._api.unpause(name)  # the engine does not start a paused one
            else:
                self._api.start(name)

    def stop(self, name: str, seconds: int) -> None:
        with _translated(say("stop container {name}", name=name)), contextlib.suppress(NotFound):
            self._api.stop(name, timeout=seconds)

    def restart(self, name: str, seconds: int) -> None:
        with _translated(say("restart container {name}", name=name)):
            self._api.restart(name, timeout=seconds)

    def stop_for_good(self, name: str, seconds: int) -> None:
        with _translated(say("stop container {name}", name=name)), contextlib.suppress(NotFound):
            policy: Any = {"Name": "no"}
            self._api.update_container(name, restart_policy=policy)
            self._api.stop(name, timeout=seconds)

    def run_once(self, name: str, body: Mapping[str, Any], stdin: bytes, seconds: float) -> Probe:
        made = self.create(name, {**body, "OpenStdin": True, "StdinOnce": True, "AttachStdin": True})
        try:
            with _translated(say("run container {name}", name=name)):
                stream = self._api.attach_socket(made, params={"stdin": 1, "stream": 1})
                try:
                    self._api.start(made)
                    stream._sock.sendall(stdin)
                    stream._sock.shutdown(socket.SHUT_WR)
                finally:
                    stream._sock.close()
                    stream.close()
                try:
                    code = self._api.wait(made, timeout=round(seconds))["StatusCode"]
                except requests.exceptions.RequestException:
                    return Probe(None, say("no answer within {seconds} s", seconds=f"{seconds:g}"))
                said = self._api.logs(made, stdout=True, stderr=False)
        finally:
            self.remove(made)
        return Probe(code, said.decode(errors="replace") if isinstance(said, bytes) else "")

    def rename(self, name: str, to: str) -> None:
        with _translated(say("rename container {name} to {to}", name=name, to=to)):
            self._api.rename(name, to)

    def remove(self, name: str) -> None:
        with _translated(say("remove container {name}", name=name)), contextlib.suppress(NotFound):
            self._api.remove_container(name, force=True, v=True)

    def probe(self, name: str, command: Sequence[str], seconds: float) -> Probe:
        """In a thread that is left behind after ``seconds``: a hung command must not hang the deploy."""
        done: list[Probe] = []
        thread = threading.Thread(target=lambda: done.append(self._execute(name, command)), daemon=True)
        thread.start()
        thread.join(seconds)
        return done[0] if done else Probe(None, say("no answer within {seconds} s", seconds=f"{seconds:g}"))

    def logs(self, name: str, lines: int) -> str:
        try:
            raw = self._api.logs(name, stdout=True, stderr=True, tail=lines)
        except (DockerException, requests.RequestException):
            return ""
        return raw.decode(errors="replace") if isinstance(raw, bytes) else ""

    def make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        with _translated(say("create volume {name}", name=name)):
            self._api.create_volume(name, labels=dict(labels))

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        with _translated(say("inspect volume {name}", name=name)):
            try:
                return dict(self._api.inspect_volume(name).get("Labels") or {})
            except NotFound:
                return None

    def remove_volume(self, name: str) -> None:
        with _translated(say("remove volume {name}", name=name)), contextlib.suppress(NotFound):
            self._api.remove_volume(name)

    def put(self, name: str, path: str, archive: Iterable[bytes]) -> None:
        with _translated(say("copy into container {name}", name=name)):
            self._api.put_archive(name, path, archive)

    def _execute(self, name: str, command: Sequence[str]) -> Probe:
        try:
            execution = self._api.exec_create(name, list(command))["Id"]
            output = self._api.exec_start(execution)
            code = self._api.exec_inspect(execution)["ExitCode"]
        except (*_FAULTS, KeyError) as error:
            return Probe(None, _in_one_line(error))
        return Probe(code, output.decode(errors="replace") if isinstance(output, bytes) else "")

    def _login(self, reference: Reference) -> dict[str, Any]:
        """The credentials for this registry; empty when there are none (with None the SDK would read a file in our own home)."""
        try:
            if not self._credentials.exists():
                return {}
            config = auth.load_config(config_path=str(self._credentials))
            return dict(auth.resolve_authconfig(config, reference.registry) or {})
        except (DockerException, OSError, ValueError, KeyError):
            return {}


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ImageNotFound as error:
        raise DeployError(
            "image_unavailable",
            say("cannot {what}: {cause}", what=what, cause=_in_one_line(error)),
            say("pull the image, then try again"),
        ) from error
    except _FAULTS as error:
        raise DeployError(
            "engine_error", say("cannot {what}: {cause}", what=what, cause=_in_one_line(error)), _ADVICE
        ) from error


def _in_one_line(error: Exception) -> str:
    """In the engine's own words where it gave some."""
    text = str(error.explanation or error) if isinstance(error, APIError) else str(error)
    return " ".join(text.split())[:500]


def _pull_advice(reference: Reference) -> str:
    return say(
        "check that this host reaches {registry} and may pull there (`docker pull {reference}`)",
        registry=reference.registry,
        reference=reference,
    )


def _image(raw: Mapping[str, Any]) -> Image:
    config = raw.get("Config") or {}
    return Image(
        id=str(raw["Id"]),
        digests=tuple(raw.get("RepoDigests") or ()),
        manifest=str((raw.get("Descriptor") or {}).get("digest") or ""),
        labels=dict(config.get("Labels") or {}),
        config=config,
    )


def _container(raw: Mapping[str, Any]) -> Container:
    state = raw.get("State") or {}
    config = raw.get("Config") or {}
    return Container(
        id=str(raw["Id"]),
        name=str(raw.get("Name", "")).removeprefix("/"),
        image_id=str(raw.get("Image", "")),
        status=str(state.get("Status", "")),
        health=str((state.get("Health") or {}).get("Status", "")).replace("none", ""),
        restarts=int(raw.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        error=str(state.get("Error") or ""),
        started_at=_instant(str(state.get("StartedAt") or "")),
        labels=dict(config.get("Labels") or {}),
        raw=raw,
    )


def _instant(text: str) -> dt.datetime | None:
    """The engine writes nanoseconds, which Python does not parse, and the year 1 for never."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    if found is None or text.startswith("0001-01-01T"):
        return None
    with contextlib.suppress(ValueError):
        return dt.datetime.fromisoformat(found[1]).replace(tzinfo=dt.UTC)
    return None
