"""`deploy VERB`: how this image installs, updates, repairs and rolls back itself on a host. Composition root of deployment/.

Runs as root in a one-shot container with the engine's socket and the host's folders below /host; docs/deployment.md has the
command line. It never runs in the long-lived container, which has neither.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.text import Text

from commandline import help as pages
from commandline.language import choose_language, shown
from contracts import core_dumps
from contracts.text import say
from contracts.visible import one_line
from runtime.adapters.state.files import locked
from runtime.cli.output import Out, choose
from runtime.deployment import host_files
from runtime.deployment.deployment import REPAIR_WAIT_S, WAIT_S, Deployment, Folders, Notify, Options
from runtime.deployment.engine import Engine
from runtime.deployment.environment import DeploySettings, parse, read_settings
from runtime.deployment.interruptions import StopSignals
from runtime.deployment.names import SOCKET, HostOs, Names, name_problem
from runtime.deployment.neighbours import MARKER, Problem
from runtime.deployment.records import RecordFile
from runtime.deployment.removal import LOCK
from runtime.deployment.request import MAX_BYTES, InstallOptions, environment_text, read_request
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.specification import Sources
from runtime.deployment.web_proxies import found_by_installer
from runtime.settings import ROOT

F = TypeVar("F", bound=Callable[..., Any])
_STYLES = {0: "green", 1: "bold red", 6: "yellow", 75: "yellow"}


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
) -> Answer:
    """One verb, from reading the environment file to the report. Every problem of the host becomes a Result."""
    from runtime.deployment import verbs

    place = Place(runtime, folders, sources, engine_url, options, notify, system)
    return _answered(
        lambda: _with_deployment(
            place,
            lambda: host_files.read_environment_file(folders.etc, runtime, system),
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
            advice = say("Correct it, or set FLAGEEMONITOR_HTTPS_PROXY in the environment file.")
            raise installation.ChecksFailed([Problem(str(error), advice)]) from error
        environment = environment_text(before, place.runtime, request, options, agent_id, web_proxies)
        order = installation.Order(request, options, agent_id, before, environment)
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


def _option(*words: str, **about: Any) -> Callable[[F], F]:
    return click.option(*words, **about)


_PLACE = (
    pages.lang_option,
    _option("--runtime-name", default="flageemonitor", show_default=True, metavar="NAME", help="As in /etc/NAME."),
    _option("--socket", default=SOCKET, show_default=True, metavar="PATH", help="The engine's socket on the host."),
    _option(
        "--config-source", metavar="SOURCE", help="Folder or volume of the configuration; default: /etc/NAME/config."
    ),
    _option("--data-source", metavar="SOURCE", help="Folder or volume of the state; default: /var/lib/NAME."),
    _option(
        "--host-os",
        type=click.Choice(["linux", "windows"]),
        default="linux",
        show_default=True,
        help="Which commands are written: shell scripts or .ps1.",
    ),
    _option("--output", type=click.Choice(["table", "json", "ndjson"]), help="Default: a line for people."),
    _option("--host", default="/host", hidden=True, help="Where the host's folders etc, data and bin are mounted."),
    _option("--engine", default=f"unix://{SOCKET}", hidden=True),
    _option("--image-root", default=ROOT, hidden=True),
)
_WORK = (
    _option("--force", is_flag=True, help="Do not wait for runs at work, and update although pinned."),
    _option(
        "--wait", type=click.IntRange(0, 86400), help="Seconds to wait for runs at work; default: 600, for repair 30."
    ),
    _option(
        "--health-timeout",
        default=120,
        show_default=True,
        type=click.IntRange(5, 3600),
        help="Seconds for a container to become healthy.",
    ),
    _option("--soak", default=10, hidden=True, type=click.IntRange(0, 600)),
    _option("--proof", default=600, hidden=True, type=click.IntRange(0, 86400)),
)
_BESIDE = (
    _option(
        "--replace-legacy", "legacy", flag_value="replace", help="Stop a proxy of the first generation at the end."
    ),
    _option("--beside-legacy", "legacy", flag_value="beside", help="Leave a proxy of the first generation alone."),
    _option("--allow-foreign-watchtower", is_flag=True, help="Accept a Watchtower without a scope on this host."),
    _option("--docker-network", default="", metavar="NAME", help="bridge, host or the name of a network."),
)
_TIMER = _option(
    "--timer",
    type=click.Choice(["systemd", "cron", "dcron", "none"]),
    default="none",
    show_default=True,
    help="What calls the repair on this host; its folder is mounted.",
)
_DRY_RUN = _option("--dry-run", is_flag=True, help="Check, show what would be done, change nothing.")


def _with(*groups: Sequence[Callable[[Any], Any]]) -> Callable[[F], F]:
    """All these options."""

    def add(function: F) -> F:
        for option in reversed([one for group in groups for one in group]):
            function = option(function)
        return function

    return add


@click.group(cls=pages.Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@pages.lang_option
def cli() -> None:
    """Install, update, repair and remove a runtime on this host. Runs in a one-shot container with the engine's socket.

    \b
    Exit codes: 0 done, 1 not possible, 2 usage or environment file, 6 another deploy is at work, 10 the new image was
    refused, 11 the previous one runs again, 12 neither runs, 75 runs are at work.
    """


def _verb(name: str, text: str) -> None:
    @cli.command(name, cls=pages.Command, help=text)
    @_with(_PLACE, _WORK)
    def command(**given: Any) -> None:
        place = _place(name, given)
        answer = deploy(
            name,
            place.runtime,
            folders=place.folders,
            sources=place.sources,
            engine_url=place.engine_url,
            options=place.options,
            notify=place.notify,
            system=place.system,
        )
        _end(name, given, answer)


for _name, _text in {
    "apply": say("Run the image that FLAGEEMONITOR_IMAGE names on this host, as specified."),
    "repair": say("Correct what is missing or differs; roll back an image that was never healthy."),
    "rollback": say("Return to the last healthy image before the current one, and pin it."),
    "resume": say("Remove the pin, then apply."),
    "status": say("Show the state, change nothing."),
}.items():
    _verb(_name, _text)


@cli.command("install", cls=pages.Command)
@_with(
    _PLACE,
    _WORK,
    _BESIDE,
    (
        _option("--image", default="", metavar="REFERENCE", help="Image of the proxy."),
        _option("--watchtower-image", default="", metavar="REFERENCE", help="Image of Watchtower."),
        _option(
            "--watchtower-interval", default="", metavar="SECONDS", help="How often Watchtower checks for an image."
        ),
        _option(
            "--update-window", default="", metavar="FROM-TO", help="When Watchtower may update, such as 02:00-05:00."
        ),
        _option("--no-auto-update", is_flag=True, help="Without Watchtower: only a person updates."),
        _TIMER,
        _DRY_RUN,
    ),
)
def install_command(**given: Any) -> None:
    """Enrol this host and install the proxy, or repair and upgrade it. Called by the installers, whose request is on stdin."""
    raw = sys.stdin.buffer.read(MAX_BYTES)
    options = InstallOptions(
        image=given["image"],
        watchtower_image=given["watchtower_image"],
        watchtower_interval=given["watchtower_interval"],
        docker_network=given["docker_network"],
        update_window=given["update_window"],
        auto_update=not given["no_auto_update"],
        legacy=given["legacy"] or "",
        foreign_watchtower=given["allow_foreign_watchtower"],
        timer=given["timer"],
        dry_run=given["dry_run"],
    )
    _end("install", given, install(_place("install", given), raw, options, os.environ))


@cli.command("uninstall", cls=pages.Command)
@_with(
    _PLACE,
    (
        _option("--delete-data", is_flag=True, help="Delete the data and the proxy's identity as well."),
        _TIMER,
        _DRY_RUN,
    ),
)
def uninstall_command(**given: Any) -> None:
    """Remove the proxy from this host. Its data stays unless --delete-data is given."""
    place = _place("uninstall", given)
    _end("uninstall", given, uninstall(place, delete_data=given["delete_data"], dry_run=given["dry_run"]))


@cli.command("neighbours", cls=pages.Command)
@_with(_PLACE, _BESIDE)
def neighbours_command(**given: Any) -> None:
    """Show what on this host is in the way of an installation under this name. Changes nothing."""
    options = InstallOptions(
        docker_network=given["docker_network"],
        legacy=given["legacy"] or "",
        foreign_watchtower=given["allow_foreign_watchtower"],
    )
    _end("neighbours", given, neighbours(_place("neighbours", given), options))


def _place(verb: str, given: dict[str, Any]) -> Place:
    out = choose(given["output"])
    runtime, host = given["runtime_name"], Path(given["host"])
    config = given["config_source"] or f"/etc/{runtime}/config"
    timer = given.get("timer", "none")
    folder = None if timer == "none" else host / ("systemd" if timer == "systemd" else "cron")
    return Place(
        runtime,
        Folders(host / "etc", host / "data", host / "bin", Path(given["image_root"]), folder),
        Sources(
            config=config,
            data=given["data_source"] or f"/var/lib/{runtime}",
            socket=given["socket"],
            credentials=host_files.credentials_source(host / "etc", config),
        ),
        given["engine"],
        _options(verb, given),
        lambda _step, text: out.say(say("… {text}", text=text), "dim"),
        given["host_os"],
    )


def _end(verb: str, given: dict[str, Any], answer: Answer) -> NoReturn:
    """Show the answer, and exit with its code."""
    result, report = answer
    show(choose(given["output"]), verb, given["runtime_name"], result, report)
    sys.exit(result.exit_code)


def _options(verb: str, given: dict[str, Any]) -> Options:
    if "wait" not in given:
        return Options()
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
    for number, problem in enumerate(report.get("problems", ()), 1):
        out.write(f"  {number}. {one_line(shown(problem['text']))}\n     {one_line(shown(problem['advice']))}\n")
    if result.advice:
        out.say(say("  try: {advice}", advice=result.advice))
    for line in report.get("plan", ()) or (() if result.exit_code else report.get("summary", ())):
        out.write(f"{shown(line)}\n")


def main() -> None:
    """Entry point of `python -m runtime.deploy` in the image."""
    core_dumps.switch_off()
    choose_language(sys.argv[1:])
    cli(prog_name="deploy")


if __name__ == "__main__":
    main()
