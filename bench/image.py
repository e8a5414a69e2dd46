"""The protected image beside the same image unprotected: size, start, memory, one run's start-up. Run by `python -m bench image`.

Both are built by the same Dockerfile and run on a private engine as `deploy` runs them: uid 10001, read-only root, no
capabilities. The runs take turns, so that other work on the machine weighs on both alike. The base image is the floor.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import docker
from docker.models.containers import Container

from bench import report
from tests.harness import docker_host, images
from tests.harness.docker_host import DockerHost

ROUNDS = 5
IDLE_S = 20.0
HEALTHY_WITHIN_S = 60.0
VERSION = "0.0.1"
COMMANDS = (("--version",), ("actions",))


@dataclass(slots=True)
class Image:
    """``healthy``: seconds from `docker run` to the first healthy answer; ``commands``: seconds of each command in it."""

    name: str
    reference: str
    healthy: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    commands: dict[Sequence[str], list[float]] = field(default_factory=lambda: {words: [] for words in COMMANDS})
    megabytes: float = 0.0


def main() -> None:
    """Measure and print."""
    with docker_host.running() as host, host.client() as client:
        base = images.base(host)
        shown = []
        for name, licence in (("protected (trial)", "trial"), ("not protected", "none")):
            built = images.product(host, "client", VERSION, licence=licence)
            reference = f"bench-{licence}:{VERSION}"
            host.must("docker", "tag", built, reference)
            shown.append(Image(name, reference))
        for image in shown:
            image.megabytes = client.images.get(image.reference).attrs["Size"] / 1e6
        for number in range(ROUNDS):
            for image in shown if number % 2 else reversed(shown):
                _round(host, client, image)
        _print(shown, client.images.get(base).attrs["Size"] / 1e6)


def _round(host: DockerHost, client: docker.DockerClient, image: Image) -> None:
    started = time.perf_counter()
    container = client.containers.run(
        image.reference,
        detach=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": ""},  # noqa: S108 -- inside the container
        volumes={"bench-data": {"bind": "/flageemonitor/data"}},
    )
    try:
        while container.exec_run(["python", "-m", "runtime.container.health"]).exit_code != 0:
            if time.perf_counter() - started > HEALTHY_WITHIN_S:
                raise SystemExit(f"{image.name} is not healthy:\n{container.logs().decode()[-2000:]}")
            time.sleep(0.05)
        image.healthy.append(time.perf_counter() - started)
        for words in COMMANDS:
            begun = time.perf_counter()
            host.must("docker", "exec", str(container.name), "/flageemonitor/run_action.sh", *words)
            image.commands[words].append(time.perf_counter() - begun)
        time.sleep(IDLE_S)
        image.memory.append(_memory(container))
    finally:
        container.remove(force=True)
        host.must("docker", "volume", "rm", "bench-data")


def _memory(container: Container) -> float:
    """Megabytes that the container holds without the page cache, as `docker stats` counts."""
    stats: Any = container.stats(stream=False)  # a dict, without a stream
    seen = stats["memory_stats"]
    return float(seen["usage"] - seen["stats"].get("inactive_file", 0)) / 1e6


def _print(shown: Sequence[Image], base: float) -> None:
    plain = shown[-1]
    rows: list[tuple[str, ...]] = [("base image", f"{base:.0f}", "", "", "", "")]
    for image in shown:
        rows.append(
            (
                image.name,
                f"{image.megabytes:.0f}",
                f"{median(image.healthy):.2f}",
                f"{median(image.memory):.1f}",
                *(f"{median(image.commands[words]):.2f}" for words in COMMANDS),
            )
        )
    protected = shown[0]
    both = [(protected.healthy, plain.healthy), (protected.memory, plain.memory)]
    both += [(protected.commands[words], plain.commands[words]) for words in COMMANDS]
    ratios = [report.ratio(median(a / b for a, b in zip(*pair, strict=True))) for pair in both]
    rows.append(("protected : not", report.ratio(protected.megabytes / plain.megabytes), *ratios))
    columns = ("image", "MB", "healthy after s", "idle MB", *(f"exec {' '.join(words)} s" for words in COMMANDS))
    report.table(f"The image, medians of {ROUNDS} rounds", columns, rows)


if __name__ == "__main__":
    main()
