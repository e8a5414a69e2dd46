"""`make publish IMAGE=registry/name`: pushes a built image, if it passes the gate. `python -m tools.publish --help` tells more.

The gate looks into the image itself, not at how it was built: no protected module may be readable, the label must tell the truth
about PyArmor's licence, and the image must pass its own self-test. A version that was published once is never replaced.
"""

from __future__ import annotations

import ast
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import click
import docker
import docker.errors

ROOT = "flageemonitor"
PROTECTED = (f"{ROOT}/runtime/", f"{ROOT}/contracts/", f"{ROOT}/commandline/")
LICENCE = "flageemonitor.licence"
VERSION = "org.opencontainers.image.version"
REVISION = "org.opencontainers.image.revision"
SELFTEST_S = 120
_PRIVATE = (f"{ROOT}/config/", f"{ROOT}/data/")


class Refused(Exception):
    """The image may not be pushed; the text says why and what to do."""


class NotPushed(Exception):
    """The engine or the registry failed; the text says what of it was published before."""


def gate(files: Mapping[str, bytes], labels: Mapping[str, str], *, allow_trial: bool) -> list[str]:
    """What is wrong with the image, by its files (path from the root, without the leading slash) and labels. Empty: nothing."""
    problems = []
    modules = {path: content for path, content in files.items() if path.startswith(PROTECTED) and path.endswith(".py")}
    if not modules:
        problems.append("there is no runtime in it: is it the `client` target?")
    readable = sorted(path for path, content in modules.items() if not _is_protected(content))
    if readable:
        shown = ", ".join(readable[:5]) + (f" and {len(readable) - 5} more" if len(readable) > 5 else "")
        problems.append(f"readable source: {shown}; build with LICENCE=full (or trial)")
    stray = sorted(
        path
        for path in files
        if path.startswith(PROTECTED) and path.endswith(".pyc") and _source_of(path) not in modules
    )
    if stray:
        problems.append(f"compiled modules without their protected source: {', '.join(stray[:5])}")
    licence = labels.get(LICENCE, "")
    if licence not in ("full", "trial"):
        problems.append(f"the label {LICENCE} says {licence or 'nothing'}; only a protected image is published")
    elif licence == "full" and any(b"(trial)" in content[:200] for content in modules.values()):
        problems.append(f"the label {LICENCE} says full, but PyArmor's mark in the modules says trial")
    elif licence == "trial" and not allow_trial:
        problems.append(
            "made with PyArmor's trial, which is not for commercial use: give the licence file, or --allow-trial"
        )
    problems += _identity(files, labels)
    left = sorted(path for path in files if path.startswith(_PRIVATE))
    if left:
        problems.append(f"files of some installation are in it: {', '.join(left[:5])}")
    return problems


def _identity(files: Mapping[str, bytes], labels: Mapping[str, str]) -> Iterator[str]:
    """The build file and the labels tell the same, and something."""
    try:
        build = json.loads(files[f"{ROOT}/build.json"])
    except (KeyError, ValueError):
        yield f"/{ROOT}/build.json is missing or no JSON"
        return
    for name, label in (("version", VERSION), ("revision", REVISION), ("licence", LICENCE)):
        if build.get(name) != labels.get(label):
            yield f"build.json says {name} {build.get(name)!r}, the label {label} {labels.get(label)!r}"
    if labels.get(VERSION, "0.0.0") == "0.0.0":
        yield "it has no version: build with VERSION=1.2.3"


def _is_protected(source: bytes) -> bool:
    """Whether a module is PyArmor's form and nothing else: one import of its runtime, one call with the sealed bytes."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return False
    match body:
        case [ast.ImportFrom(module=str(module)), ast.Expr(value=ast.Call(func=ast.Name(id="__pyarmor__")))]:
            return module.startswith("pyarmor_runtime_")
    return False


def _source_of(path: str) -> str:
    folder, _, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.split('.')[0]}.py" if folder else ""


def contents(client: docker.DockerClient, image: str) -> dict[str, bytes]:
    """The files below the product's root in the image."""
    container = client.containers.create(image)
    try:
        stream, _ = container.get_archive(f"/{ROOT}")
        raw = io.BytesIO(b"".join(stream))
    finally:
        container.remove(force=True)
    with closing(tarfile.open(fileobj=raw)) as tar:
        return {
            member.name: file.read()
            for member in tar
            if member.isfile() and (file := tar.extractfile(member)) is not None
        }


def selftest(client: docker.DockerClient, image: str) -> str:
    """What the image says of itself, run as on a host. Raises Refused."""
    container = client.containers.run(
        image,
        entrypoint=["python", "-m", "runtime.container.selftest"],
        detach=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": ""},  # noqa: S108 -- inside the container
    )
    try:
        status = container.wait(timeout=SELFTEST_S)["StatusCode"]
        said = container.logs().decode(errors="replace").strip()
    finally:
        container.remove(force=True)
    if status != 0:
        raise Refused(f"the image fails its own self-test (exit {status}):\n{said}")
    return said


def push(client: docker.DockerClient, image: str, repository: str, tag: str) -> str:
    """Tag and push; the digest that the registry has now. Raises NotPushed."""
    client.images.get(image).tag(repository, tag)
    for line in client.images.push(repository, tag, stream=True, decode=True):
        if "error" in line:
            raise NotPushed(f"push of {repository}:{tag} failed: {line['error']}")
    # What an engine answers to a push differs from one image store to the other; the registry itself decides.
    digest = _published(client, repository, tag)
    if digest is None or digest not in _digests(client, image):
        raise NotPushed(f"{repository}:{tag} was pushed, and the registry has {digest or 'no digest'} under this tag")
    return digest


def _digests(client: docker.DockerClient, image: str) -> set[str]:
    """Of the image's manifest, as registries name it."""
    return {text.partition("@")[2] for text in client.images.get(image).attrs.get("RepoDigests") or ()}


def _published(client: docker.DockerClient, repository: str, tag: str) -> str | None:
    """The digest that the registry has under a tag; None when there is none."""
    try:
        return str(client.images.get_registry_data(f"{repository}:{tag}").id)
    except docker.errors.NotFound:
        return None
    except docker.errors.APIError as error:
        if "manifest unknown" in str(error) or "not found" in str(error):
            return None
        raise


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("repository")
@click.option("--from", "source", default="flageemonitor-client:build", show_default=True, help="The built image.")
@click.option("--channel", default="stable", show_default=True, help="The moving tag that installations follow.")
@click.option("--allow-trial", is_flag=True, help="Push although PyArmor's trial made it. Never for customers.")
@click.option("--check", "only_check", is_flag=True, help="Only look: nothing is pushed.")
def main(repository: str, source: str, channel: str, allow_trial: bool, only_check: bool) -> None:
    """Push the built image to REPOSITORY (registry/name, no tag) under its version and a channel tag, if it passes the gate.

    The digest is the last line of stdout. Exit code 1: refused, and nothing was pushed.

    \b
    make image VERSION=1.2.3 LICENCE=full PYARMOR_LICENCE=pyarmor-regfile.zip
    make publish IMAGE=registry.example.com/flageemonitor-client CHANNEL=stable
    """
    if ":" in repository.rpartition("/")[2] or "@" in repository:
        raise click.UsageError(
            f"{repository}: name the repository without a tag; the tags are the version and --channel"
        )
    client = docker.from_env(timeout=SELFTEST_S + 60)
    try:
        image = client.images.get(source)
        labels: dict[str, Any] = image.labels
        say(f"looking into {source} ({image.short_id}, version {labels.get(VERSION)}) ...")
        _pass_gate(client, source, labels, allow_trial=allow_trial)
        if only_check:
            say("it passes; nothing was pushed (--check)")
            return
        version = labels[VERSION]
        digest = _push_all(client, source, repository, version, channel)
    except Refused as refused:
        raise click.ClickException(f"refused, nothing was published\n{refused}") from None
    except NotPushed as failed:
        raise click.ClickException(f"{failed}") from None
    except docker.errors.ImageNotFound:
        raise click.ClickException(f"there is no image {source}: make image VERSION=...") from None
    except docker.errors.DockerException as error:
        raise click.ClickException(f"the Docker engine: {error}") from None
    say(f"pushed {repository}:{version} and :{channel}")
    click.echo(digest)


def _pass_gate(client: docker.DockerClient, source: str, labels: Mapping[str, str], *, allow_trial: bool) -> None:
    problems = gate(contents(client, source), labels, allow_trial=allow_trial)
    if problems:
        raise Refused("\n".join(f"- {problem}" for problem in problems))
    say(f"self-test: {selftest(client, source)}")


def _push_all(client: docker.DockerClient, source: str, repository: str, version: str, channel: str) -> str:
    known = _published(client, repository, version)
    if known is not None and known not in _digests(client, source):
        raise Refused(f"- {repository}:{version} is published already, as {known}: give this one a version of its own")
    digest = push(client, source, repository, version)
    try:
        push(client, source, repository, channel)
    except NotPushed as failed:
        raise NotPushed(f"{failed}\n{repository}:{version} is published as {digest}; run the command again") from None
    return digest


def say(text: str) -> None:
    """Progress, for people."""
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
