"""Enrols the host in one unprivileged container (`runtime.enrol`), which also fetches the first configuration. Called by
installation.

Root does nothing here that the runtime's own user can do, and the container tries the folders, the network and the clock as the
runtime will meet them, before it uses the token that works once.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.bounded import Unreadable, read_json
from contracts.stored_text import restored
from contracts.text import say
from runtime.deployment.candidate import discard_candidate
from runtime.deployment.deployment import Deployment
from runtime.deployment.request import InstallRequest, seen_folder
from runtime.deployment.results import DeployError
from runtime.deployment.specification import enrolment_spec

SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Enrolled:
    """``new``: the agent has a token that it did not have before. ``notes``: sentences for the operator."""

    new: bool
    notes: tuple[str, ...] = ()


class NotEnrolled(DeployError):
    """``new``: the control plane has given a token all the same."""

    def __init__(self, message: str, advice: str, *, new: bool = False) -> None:
        super().__init__("not_enrolled", message, advice)
        self.new = new


def enrol(deployment: Deployment, request: InstallRequest, agent_id: str) -> Enrolled:
    """Raises DeployError. The configuration's and the data folder belong to the runtime's user already."""
    seen = seen_folder(secrets.token_hex(8))
    places = [folder / seen for folder in (deployment.folders.etc / "config", deployment.folders.data)]
    spec = enrolment_spec(deployment.settings, deployment.facts, deployment.sources, str(deployment.settings.image))
    order = {
        "health_url": request.get("HEALTH_URL"),
        "enroll_url": request.get("ENROLL_URL"),
        "token": request.token.reveal(),
        "agent_id": agent_id,
        "hostname": request.get("HOSTNAME"),
        "seen": seen,
        "server_time": request.get("SERVER_TIME") or "0",
    }
    discard_candidate(deployment)  # an earlier call may have been killed here
    try:
        for place in places:
            place.mkdir()
        answer = deployment.engine.run_once(spec.name, spec.body, json.dumps(order).encode(), SECONDS)
    finally:
        for place in places:
            if place.is_dir():
                place.rmdir()
    found = _last_object(answer.text)
    if found is None:
        what = say("it ended with {code}", code=answer.code) if answer.code is not None else answer.text
        last = " / ".join(answer.text.strip().splitlines()[-3:])[:500]
        raise NotEnrolled(
            say("The container that enrols this host failed, {what}: {last}", what=what, last=last),
            say("Try again; if it fails in the same way, report these lines."),
        )
    told = restored(found, found.get("sentences", {}))
    new = told.get("enrolled") is True
    if told.get("stage") != "done":
        raise NotEnrolled(told.get("message", ""), told.get("advice", ""), new=new)
    return Enrolled(new, tuple(told.get("notes", ())))


def _last_object(text: str) -> Mapping[str, Any] | None:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found = read_json(line)
            except Unreadable:
                continue
            if isinstance(found, Mapping) and "stage" in found:
                return found
    return None
