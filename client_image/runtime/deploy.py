"""`deploy VERB`: how this image installs, updates, repairs and rolls back itself on a host. Composition root of deployment/.

Runs as root in a one-shot container with the engine's socket and the host's folders below /host; docs/deployment.md has the
command line. It never runs in the long-lived container, which has neither.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from contracts import core_dumps
from contracts.text import say
from contracts.visible import one_line
from runtime.adapters.state.files import locked
from runtime.cli import help as pages
from runtime.cli.language import choose_language, shown
from runtime.cli.output import Out, choose
from runtime.cli.program import lang_option
from runtime.deployment import host_files
from runtime.deployment.deployment import REPAIR_WAIT_S, WAIT_S, Deployment, Folders, Notify, Options
from runtime.deployment.interruptions import StopSignals
from runtime.deployment.names import SOCKET, HostOs
from runtime.deployment.records import RecordFile
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.specification import Sources
from runtime.settings import ROOT

VERBS = ("apply", "repair", "rollback", "resume", "status")
LOCK = "deploy.lock"
_STYLES = {0: "green", 1: "bold red", 6: "yellow", 75: "yellow"}


class SystemClock:
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
    notify: Notify,
    system: HostOs = "linux",
) -> tuple[Result, dict[str, Any]]:
    """One verb, from reading the environment file to the report. Every problem of the host becomes a Result."""
    from runtime.deployment import verbs
    from runtime.deployment.docker_engine import (
        DockerEngine,  # loading the SDK takes half a second, which --help need not pay
    )

    changes = verb != "status"
    try:
        settings = host_files.read_environment_file(folders.etc, runtime, system)
        with locked(folders.etc / LOCK) if changes else nullcontext(-1) as lock:
            if lock is None:
                advice = say("wait until it has ended, then check with --status")
                return Result("busy", say("another deploy works on {runtime}", runtime=runtime), advice), {}
            engine = DockerEngine(engine_url, folders.etc / host_files.CREDENTIALS_FILE)
            try:
                record_file = RecordFile(folders.etc, read_only=not changes)
                if system == "windows":
                    sources = host_files.windows_sources(engine, settings.names, sources, folders.etc)
                signals = StopSignals()
                deployment = Deployment(
                    settings=settings,
                    engine=engine,
                    facts=engine.facts(),
                    record_file=record_file,
                    folders=folders,
                    sources=sources,
                    options=options,
                    clock=SystemClock(),
                    notify=notify,
                    defer_signals=signals.defer,
                    system=system,
                )
                if changes:
                    signals.listen()
                    host_files.prepare_folders(folders.etc, folders.data, sources, system)
                return verbs.run(deployment, verb)
            finally:
                engine.close()
    except DeployError as error:
        return as_result(error), {}
    except OSError as error:
        advice = say("check that the host's folders are mounted, and that their disk has space")
        return Result("failed", f"{error}", advice), {}


@click.command(cls=pages.Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@lang_option
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
    help="Which commands are written: shell scripts or .ps1.",
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
@click.option("--output", type=click.Choice(["table", "json", "ndjson"]), help="Default: a line for people.")
@click.option("--host", default="/host", hidden=True, help="Where the host's folders etc, data and bin are mounted.")
@click.option("--engine", default=f"unix://{SOCKET}", hidden=True)
@click.option("--image-root", default=ROOT, hidden=True)
def cli(verb: str, **given: Any) -> None:
    """Install, update and repair the runtime NAME on this host: VERB is apply, repair, rollback, resume or status.

    \b
    apply     run the image that FLAGEEMONITOR_IMAGE names on this host, as specified
    repair    correct what is missing or differs; roll back an image that was never healthy
    rollback  return to the last healthy image before the current one, and pin it
    resume    remove the pin, then apply
    status    show the state, change nothing

    Exit codes: 0 done, 1 not possible, 2 usage or environment file, 6 another deploy is at work, 10 the new image was refused,
    11 the previous one runs again, 12 neither runs, 75 runs are at work.
    """
    out = choose(given["output"])
    runtime = given["runtime_name"]
    host = Path(given["host"])
    config = given["config_source"] or f"/etc/{runtime}/config"
    result, report = deploy(
        verb,
        runtime,
        folders=Folders(host / "etc", host / "data", host / "bin", Path(given["image_root"])),
        sources=Sources(
            config=config,
            data=given["data_source"] or f"/var/lib/{runtime}",
            socket=given["socket"],
            credentials=host_files.credentials_source(host / "etc", config),
        ),
        engine_url=given["engine"],
        options=_options(verb, given),
        notify=lambda _step, text: out.say(say("… {text}", text=text), "dim"),
        system=given["host_os"],
    )
    show(out, verb, runtime, result, report)
    sys.exit(result.exit_code)


def _options(verb: str, given: dict[str, Any]) -> Options:
    default = REPAIR_WAIT_S if verb == "repair" else WAIT_S
    return Options(
        wait=default if given["wait"] is None else given["wait"],
        health_timeout=given["health_timeout"],
        soak=given["soak"],
        proof=given["proof"],
        force=given["force"],
    )


def show(out: Out, verb: str, runtime: str, result: Result, report: dict[str, Any]) -> None:
    """The result on stdout; notes, advice and the container's last lines on stderr."""
    if out.form in ("json", "ndjson"):
        out.json(
            {
                "schema": 1,
                "verb": verb,
                "runtime": runtime,
                **asdict(result),
                "exit_code": result.exit_code,
                "report": report,
            }
        )
        return
    for line in result.log.splitlines():
        out.say(f"  | {line}", "dim")
    for note in result.notes:
        out.say(say("note: {note}", note=note), "yellow")
    style = _STYLES.get(result.exit_code, "bold red")
    if out.form == "table":
        out.console.print(
            Text(f"{result.reason}: ", style=style) + Text(one_line(shown(result.message))), soft_wrap=True
        )
    else:
        out.write(f"{result.reason}\t{one_line(shown(result.message))}\n")
    if result.advice:
        out.say(say("  try: {advice}", advice=result.advice))


def main() -> None:
    """Entry point of `python -m runtime.deploy` in the image."""
    core_dumps.switch_off()
    choose_language(sys.argv[1:])
    cli(prog_name="deploy")


if __name__ == "__main__":
    main()
