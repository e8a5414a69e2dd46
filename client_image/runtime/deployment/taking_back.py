"""What an installation that failed takes back: all that a first one made, or what an upgrade changed. Called by installation."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from contracts.text import all_of, say
from runtime.adapters.state.files import write_atomically
from runtime.adapters.untrusted_files import read_untrusted, write_for_owner
from runtime.deployment.deployment import Deployment
from runtime.deployment.host_files import ENV_FILE
from runtime.deployment.removal import clear_folder, remove_containers
from runtime.deployment.request import CA_FILE, Order
from runtime.deployment.results import DeployError, Result

NEXT_FILE = f".{ENV_FILE}.next"


@dataclass(slots=True)
class Changes:
    """What must be taken back when the installation fails. ``fresh``: nothing of this runtime was here. ``new_data``: nor of its
    data. ``kept``: from here on the proxy runs with its new settings, and nothing is taken back. ``files``, ``owned``: what files
    were before, None for one that was not there; root's by their paths, those of the configuration's folder by their names."""

    fresh: bool
    new_data: bool
    enrolled: bool = False
    kept: bool = False
    files: dict[Path, bytes | None] = field(default_factory=dict)
    owned: dict[str, bytes | None] = field(default_factory=dict)

    def remember_owned(self, etc: Path, name: str) -> None:
        """Before a file of the configuration's folder is written, which belongs to the runtime's user."""
        self.owned[name] = None
        with contextlib.suppress(OSError):
            self.owned[name] = read_untrusted(etc / "config" / name)


def undo(deployment: Deployment, order: Order, changes: Changes, result: Result) -> Result:
    etc, names = deployment.folders.etc, deployment.names
    notes = list(result.notes)
    if not changes.fresh:
        deployment.notify("undoing", say("putting back what was there"))
        _put_back(etc, changes, notes)
        return replace(result, notes=(*notes, _state_after(deployment)))
    deployment.notify("undoing", say("taking back what was made"))
    left = remove_containers(deployment.engine, names, deployment.notify)
    if left:
        text = say(
            "Not taken back: {left}. Settings and data of {runtime} stay. When the Docker engine answers, start again with a "
            "new line, or remove all with --uninstall.",
            left=all_of(left),
            runtime=names.runtime,
        )
        return replace(result, notes=(*notes, text))
    if changes.new_data:
        clear_folder(deployment.folders.data)
    clear_folder(etc)
    notes.append(say("Nothing is installed. Start again with a new line: each works once."))
    if changes.enrolled:
        notes.append(
            say(
                "Agent {agent} is still registered, but its token was discarded. Revoke it on the control plane: "
                "flagee-server token list, token revoke ID",
                agent=order.agent_id,
            )
        )
    reason = "failed" if result.reason in ("broken", "restored") else result.reason
    return replace(result, reason=reason, notes=tuple(notes))


def _put_back(etc: Path, changes: Changes, notes: list[str]) -> None:
    try:
        for path, content in changes.files.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                write_atomically(path, content, mode=0o444 if path.name == CA_FILE else 0o600)
        for name, content in changes.owned.items():
            if content is None:
                (etc / "config" / name).unlink(missing_ok=True)
            else:
                write_for_owner(etc / "config", name, content, mode=0o444 if name == CA_FILE else 0o400)
    except OSError as error:
        notes.append(say("Not put back: {cause}", cause=error))
    with contextlib.suppress(OSError):
        (etc / NEXT_FILE).unlink(missing_ok=True)


def _state_after(deployment: Deployment) -> str:
    update = deployment.names.wrapper("update-image")
    try:
        found = deployment.runtime()
    except DeployError:
        found = None
    if found is not None and found.running:
        return say(
            "The previous installation of {runtime} runs. See: {update} --status",
            runtime=deployment.names.runtime,
            update=update,
        )
    return say(
        "The previous installation of {runtime} is in place, but does not run. Repair it with: {update} --repair",
        runtime=deployment.names.runtime,
        update=update,
    )
