"""What an installer shows: what would be done, and what is to be known about a proxy that runs. Called by installation."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.text import say
from runtime.deployment.deployment import Deployment
from runtime.deployment.names import environment_file
from runtime.deployment.neighbours import Neighbours
from runtime.deployment.request import Order
from runtime.deployment.timer import timer_files, timer_folder


def plan(deployment: Deployment, order: Order, here: Neighbours) -> list[str]:
    names, request = deployment.names, order.request
    file = environment_file(names.runtime, deployment.system)
    lines: list[str] = [
        say(
            "To be done for network {network} of {client}:",
            network=request.get("NETWORK"),
            client=request.get("CLIENT"),
        )
    ]
    if order.before is None:
        lines.append(
            say(
                "  enrol this host at {url}; the token stays in the configuration folder", url=request.get("ENROLL_URL")
            )
        )
    else:
        lines.append(say("  keep agent {agent}, and its token if it still works", agent=order.agent_id))
    lines += [
        say("  fetch the configuration in a container without privileges that ends at once"),
        say(
            "  start or update the container {runtime}, without Docker's socket, and {watchtower}, which has it",
            runtime=names.runtime,
            watchtower=names.watchtower,
        )
        if deployment.settings.auto_update
        else say("  start or update the container {runtime}, without Docker's socket", runtime=names.runtime),
        say("  write {file} and the commands {runtime}-*", file=file, runtime=names.runtime),
    ]
    lines += [
        say(
            "  write {file}: every five minutes a container with Docker's socket repairs what is broken",
            file=f"{timer_folder(order.options.timer)}/{name}",
        )
        for name in timer_files(order.options.timer, names)
        if not name.endswith(".service")
    ]
    if order.options.legacy == "replace":
        lines += [
            say("  stop the container {name} and its Watchtower; their files stay", name=name)
            for name in here.first_generation
        ]
    return lines


def summary(deployment: Deployment, order: Order) -> list[str]:
    names, request = deployment.names, order.request
    command = names.wrapper
    return [
        say(
            "Installed: {runtime}, network {network} of {client}, agent {agent}.",
            runtime=names.runtime,
            network=request.get("NETWORK"),
            client=request.get("CLIENT"),
            agent=order.agent_id,
        ),
        say("  {command} ACTION ...   run an action on terminals; first: {command} doctor", command=command("run")),
        say("  {command} -f   what the proxy does", command=command("logs")),
        say("  {command}   fetch the configuration now", command=command("update-config")),
        say("  {command}   update now; --status, --repair, --rollback, --resume", command=command("update-image")),
        say("  {command}   what Watchtower does", command=command("watchtower-logs")),
        say(
            "  {command}   remove the proxy; the data stays unless --delete-data is given", command=command("uninstall")
        ),
        say("Settings: {file}.", file=environment_file(names.runtime, deployment.system)),
        *_without_timer(deployment, order),
    ]


def _without_timer(deployment: Deployment, order: Order) -> Iterator[str]:
    """On Windows the installer sets a task."""
    if order.options.timer == "none" and deployment.system == "linux":
        yield say(
            "Neither systemd nor /etc/cron.d is here. Have something call every five minutes: {command} --repair",
            command=deployment.names.wrapper("update-image"),
        )
