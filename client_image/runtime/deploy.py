"""`deploy VERB`: how this image installs, updates, repairs and rolls back itself on a host. Composition root of deployment/.

Runs as root in a one-shot container with the engine's socket and the host's folders below /host; docs/deployment.md has the
command line. It never runs in the long-lived container, which has neither.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from contracts.visible import one_line
from runtime.adapters.state.files import locked, read_plain
from runtime.console.output import Out, choose
from runtime.deployment.deployment import REPAIR_WAIT_S, WAIT_S, Folders, Options, Site
from runtime.deployment.engine import Engine, Tell
from runtime.deployment.environment import DeploySettings, read_settings
from runtime.deployment.host_windows import seen_by_engine
from runtime.deployment.names import SOCKET, UID, HostOs, environment_file, name_problem
from runtime.deployment.records import Memory
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.shield import Shield
from runtime.deployment.specification import Sources
from runtime.settings import ROOT

VERBS = ("apply", "repair", "rollback", "resume", "status")
ENV_FILE = "flageemonitor.env"
LOCK = "deploy.lock"
_STYLES = {0: "green", 1: "bold red", 6: "yellow", 75: "yellow"}


class SystemPace:
    """The machine's clocks."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def deploy(
    verb: str,
    runtime: str,
    *,
    folders: Folders,
    sources: Sources,
    engine_url: str,
    options: Options,
    tell: Tell,
    system: HostOs = "linux",
) -> tuple[Result, dict[str, Any]]:
    """One verb from reading the environment file to the report. Never raises what belongs to the host."""
    from runtime.deployment import verbs
    from runtime.deployment.docker_engine import DockerEngine  # the SDK, half a second that --help need not pay

    try:
        settings = _settings(folders.etc, runtime, system)
        with locked(folders.etc / LOCK) if verb != "status" else nullcontext(-1) as held:
            if held is None:
                return Result("busy", f"another deploy works on {runtime}", "wait for it, then look with --status"), {}
            engine = DockerEngine(engine_url, folders.etc / "docker" / "config.json")
            try:
                memory = Memory(folders.etc, look=verb == "status")
                if system == "windows":
                    sources = seen_by_engine(engine, settings.names, sources, folders.etc)
                site = _site(settings, engine, memory, folders, sources, options, tell, system)
                if verb != "status":
                    site.shield.listen()
                    _prepare(folders, sources, system)
                return verbs.run(site, verb)
            finally:
                engine.close()
    except DeployError as error:
        return as_result(error), {}
    except OSError as error:
        return Result(
            "failed", f"{error}", "see that the host's folders are mounted, and that their disk has space"
        ), {}


def _settings(etc: Path, runtime: str, system: HostOs) -> DeploySettings:
    if problem := name_problem(runtime):
        raise DeployError("bad_environment", f"--runtime-name {problem}", "name the runtime as the installer did")
    try:
        raw = read_plain(etc / ENV_FILE)
    except OSError as error:
        text = f"{environment_file(runtime, system)} cannot be read: {error.strerror}"
        raise DeployError("bad_environment", text, "run the installer again, it keeps what is there") from error
    return read_settings(raw, runtime, system)


def _site(
    settings: DeploySettings,
    engine: Engine,
    memory: Memory,
    folders: Folders,
    sources: Sources,
    options: Options,
    tell: Tell,
    system: HostOs,
) -> Site:
    return Site(
        settings=settings,
        engine=engine,
        facts=engine.facts(),
        memory=memory,
        folders=folders,
        sources=sources,
        options=options,
        pace=SystemPace(),
        tell=tell,
        shield=Shield(),
        system=system,
    )


def _prepare(folders: Folders, sources: Sources, system: HostOs) -> None:
    """Folders that the engine would otherwise make as root's, in which the runtime could not write."""
    linux = system == "linux" and sources.config.startswith("/")  # a folder of Windows has no owner that we could set
    own = (folders.etc / "config", folders.data) if linux else (folders.data,)
    for folder in own:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != UID:
            os.chown(folder, UID, UID, follow_symlinks=False)
            folder.chmod(0o700)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("verb", type=click.Choice(VERBS))
@click.option("--runtime-name", default="flageemonitor", show_default=True, metavar="NAME", help="As in /etc/NAME.")
@click.option("--socket", default=SOCKET, show_default=True, metavar="PATH", help="The engine's socket on the host.")
@click.option(
    "--config-source", metavar="SOURCE", help="Folder or volume of the configuration; default: /etc/NAME/config."
)
@click.option("--data-source", metavar="SOURCE", help="Folder or volume of the state; default: /var/lib/NAME.")
@click.option(
    "--host-os",
    type=click.Choice(["linux", "windows"]),
    default="linux",
    show_default=True,
    help="Which commands are written: shell scripts, or .ps1.",
)
@click.option("--force", is_flag=True, help="Do not wait for runs at work, and update although pinned.")
@click.option(
    "--wait", type=click.IntRange(0, 86400), help="Seconds to wait for runs at work; default: 600, for repair 30."
)
@click.option(
    "--health-timeout",
    default=120,
    show_default=True,
    type=click.IntRange(5, 3600),
    help="Seconds for a container to become healthy.",
)
@click.option("--soak", default=10, hidden=True, type=click.IntRange(0, 600))
@click.option("--proof", default=600, hidden=True, type=click.IntRange(0, 86400))
@click.option("--output", type=click.Choice(["table", "json"]), help="Default: a line for people.")
@click.option("--host", default="/host", hidden=True, help="Where the host's folders etc, data and bin are mounted.")
@click.option("--engine", default=f"unix://{SOCKET}", hidden=True)
@click.option("--image-root", default=ROOT, hidden=True)
def cli(verb: str, **given: Any) -> None:
    """Look after the runtime NAME on this host: VERB is apply, repair, rollback, resume or status.

    \b
    apply     make the host be as specified, from the image that FLAGEEMONITOR_IMAGE names locally
    repair    mend what is missing or differs; leave an image that was never healthy
    rollback  go to the last healthy image before the current one, and pin it
    resume    take the pin away, then apply
    status    tell, change nothing

    Exit codes: 0 as wanted, 1 not possible, 2 usage or environment file, 6 another deploy works, 10 the new image was refused,
    11 the previous one runs again, 12 neither runs, 75 runs are at work.
    """
    out = choose(given["output"])
    runtime = given["runtime_name"]
    host = Path(given["host"])
    config = given["config_source"] or f"/etc/{runtime}/config"
    result, told = deploy(
        verb,
        runtime,
        folders=Folders(host / "etc", host / "data", host / "bin", Path(given["image_root"])),
        sources=Sources(
            config=config,
            data=given["data_source"] or f"/var/lib/{runtime}",
            socket=given["socket"],
            credentials=_credentials(host / "etc", config),
        ),
        engine_url=given["engine"],
        options=_options(verb, given),
        tell=lambda _step, text: out.say(f"… {text}", "dim"),
        system=given["host_os"],
    )
    show(out, verb, runtime, result, told)
    sys.exit(result.exit_code)


def _options(verb: str, given: dict[str, Any]) -> Options:
    usual = REPAIR_WAIT_S if verb == "repair" else WAIT_S
    return Options(
        wait=usual if given["wait"] is None else given["wait"],
        health_timeout=given["health_timeout"],
        soak=given["soak"],
        proof=given["proof"],
        force=given["force"],
    )


def show(out: Out, verb: str, runtime: str, result: Result, told: dict[str, Any]) -> None:
    """The result on stdout; what is said about it on stderr, the container's last lines too."""
    if out.form == "json":
        out.json(
            {
                "schema": 1,
                "verb": verb,
                "runtime": runtime,
                **asdict(result),
                "exit_code": result.exit_code,
                "report": told,
            }
        )
        return
    for line in result.log.splitlines():
        out.say(f"  | {line}", "dim")
    for note in result.notes:
        out.say(f"note: {note}", "yellow")
    style = _STYLES.get(result.exit_code, "bold red")
    if out.form == "table":
        out.console.print(Text(f"{result.reason}: ", style=style) + Text(one_line(result.message)), soft_wrap=True)
    else:
        out.write(f"{result.reason}\t{one_line(result.message)}\n")
    if result.advice:
        out.say(f"  try: {result.advice}")


def _credentials(etc: Path, config: str) -> str:
    """The host's folder of the registry credentials, for Watchtower; it lies beside that of the configuration."""
    beside = Path(config).parent / "docker"
    return str(beside) if config.startswith("/") and (etc / "docker" / "config.json").is_file() else ""


def main() -> None:
    """Entry point of `python -m runtime.deploy` in the image."""
    cli(prog_name="deploy")


if __name__ == "__main__":
    main()
