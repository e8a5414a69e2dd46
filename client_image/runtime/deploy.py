"""`deploy VERB`: how this image installs, updates, repairs and rolls back itself on a host. The command line of deployment/.

Runs as root in a one-shot container with the engine's socket and the host's folders below /host; docs/deployment.md has the
command line. It never runs in the long-lived container, which has neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.text import Text

from commandline import help as pages
from commandline.language import choose_language, shown
from contracts import core_dumps
from contracts.text import say
from contracts.visible import one_line
from runtime.cli.output import Out, choose
from runtime.deployment import calls, host_files
from runtime.deployment.calls import Answer, Place
from runtime.deployment.deployment import REPAIR_WAIT_S, WAIT_S, Folders, Options
from runtime.deployment.names import SOCKET
from runtime.deployment.request import MAX_BYTES, InstallOptions
from runtime.deployment.results import Result
from runtime.deployment.specification import Sources
from runtime.settings import ROOT

F = TypeVar("F", bound=Callable[..., Any])
_STYLES = {0: "green", 1: "bold red", 6: "yellow", 75: "yellow"}


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
        _end(name, given, calls.deploy(place, name))


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
    _end("install", given, calls.install(_place("install", given), raw, options, os.environ))


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
    _end("uninstall", given, calls.uninstall(place, delete_data=given["delete_data"], dry_run=given["dry_run"]))


@cli.command("neighbours", cls=pages.Command)
@_with(_PLACE, _BESIDE)
def neighbours_command(**given: Any) -> None:
    """Show what on this host is in the way of an installation under this name. Changes nothing."""
    options = InstallOptions(
        docker_network=given["docker_network"],
        legacy=given["legacy"] or "",
        foreign_watchtower=given["allow_foreign_watchtower"],
    )
    _end("neighbours", given, calls.neighbours(_place("neighbours", given), options))


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
