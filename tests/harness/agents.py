"""An enrolled agent of a control plane's tests: its token, and envelopes as it sends them."""

import gzip
import json
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from contracts.ids import uuid7
from tests.harness.control_plane import ControlPlane

HOST = {"id": "10084", "name": "SOL-LOJA001-PDV201", "network": "SOL", "address": "10.1.1.201", "port": 22}


@dataclass(frozen=True, slots=True)
class Agent:
    """``app``: the application in this process."""

    app: Flask
    agent_id: str
    token: str

    def send(self, envelopes: Any, **headers: str) -> TestResponse:
        return self.post(gzip.compress(json.dumps(envelopes).encode()), **{"Content-Encoding": "gzip", **headers})

    def post(self, body: bytes, path: str = "/v1/ingest", **headers: str) -> TestResponse:
        sent = {"X-Bot-Token": self.token, "Content-Type": "application/json", **headers}
        return self.app.test_client().post(path, data=body, headers=sent)


def enrolled(plane: ControlPlane, app: Flask, network: str = "SOL", agent_id: str = "") -> Agent:
    """A new agent, or a known one again."""
    agent_id = agent_id or uuid7()
    bootstrap = plane.token("--scope", "bootstrap", "--network", network)
    answer = app.test_client().post(
        "/api/bootstrap/enroll", headers={"X-Bot-Token": bootstrap}, json={"agent_id": agent_id, "hostname": "proxy"}
    )
    assert answer.status_code == 201, answer.text
    return Agent(app, agent_id, answer.get_json()["token"])


def envelope(kind: str = "event", sub: str = "noted", body: Any = None, **more: Any) -> dict[str, Any]:
    """By default of a sub that nobody knows."""
    made = {"envelope_id": uuid7(), "kind": kind, "sub": sub, "ts_unix_ms": time.time_ns() // 10**6}
    return {**made, "body": {"a": 1} if body is None else body, **more}


def story(run_id: str = "", *names: str, **more: Any) -> list[dict[str, Any]]:
    """A run with one changed host for each name: started, outcomes, finished."""
    run_id, at = run_id or uuid7(), "2026-03-14T12:00:00.000Z"
    names = names or (HOST["name"],)  # type: ignore[assignment]
    started = {"run_id": run_id, "action": "set_zone", "hosts": len(names), "started_at": at, "origin": "manual"}
    outcomes = [
        {
            "host": {**HOST, "id": f"h{place}", "name": name},
            "outcome": "changed",
            "reason": "confirmed",
            "message": "the zone is America/Sao_Paulo",
            "run_id": run_id,
            "action": "set_zone",
            "finished_at": at,
        }
        for place, name in enumerate(names)
    ]
    finished = {"run_id": run_id, "exit_code": 0, "summary": {"changed": len(names)}, "finished_at": at}
    return [
        envelope("event", "run.started", started, **more),
        *(envelope("result", "host", body, **more) for body in outcomes),
        envelope("event", "run.finished", finished, **more),
    ]
