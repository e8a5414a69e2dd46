"""A client of the channel in plain Python: it knows docs/channel.md and docs/channel.schema.json, and nothing of this project.

    python plain_client.py BASE TOKEN SCHEMA

Tells the story of one run, sends it twice, halves what is refused, and prints one JSON line of what it learned.
"""

import gzip
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request
from typing import Any


def new_id() -> str:
    """A UUID of version 7."""
    raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    raw[6], raw[8] = raw[6] & 0x0F | 0x70, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


Json = dict[str, Any]


class Client:
    def __init__(self, base: str, token: str, schema: Json) -> None:
        self.base, self.token = base, token
        # What an envelope must have is read from the published schema, not assumed.
        self.required = schema["$defs"]["Envelope"]["required"]
        self.most = schema["$defs"]["Batch"]["maxItems"]
        self.stream, self.seq = new_id(), 0
        self.dead: list[str] = []

    def envelope(self, kind: str, sub: str, body: Json) -> Json:
        self.seq += 1
        made = {
            "envelope_id": new_id(),
            "kind": kind,
            "sub": sub,
            "ts_unix_ms": time.time_ns() // 1_000_000,
            "body": body,
        }
        missing = [name for name in self.required if name not in made]
        if missing:
            raise ValueError(f"this client is older than the schema: {missing}")
        return {**made, "stream": self.stream, "seq": self.seq}

    def post(self, path: str, value: object) -> tuple[int, Json]:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        packed = gzip.compress(json.dumps(value).encode())
        request = urllib.request.Request(self.base + path, data=packed, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def send(self, batch: list[Json]) -> Json:
        """What was stored, and errors by envelope."""
        for pause in (1, 2, 4, 8, 0):
            status, answer = self.post("/v1/ingest", batch)
            if status in (400, 413, 422):
                if len(batch) == 1:
                    self.dead.append(batch[0]["envelope_id"])
                    return {"stored": 0, "failed": {}}
                middle = len(batch) // 2
                first, second = self.send(batch[:middle]), self.send(batch[middle:])
                return {
                    "stored": first["stored"] + second["stored"],
                    "failed": {**first["failed"], **second["failed"]},
                }
            if status == 200:
                failed = {one["envelope_id"]: one["error"] for one in answer["failed"]}
                return {"stored": answer["stored"], "failed": failed}
            if status not in (408, 425, 429) and status < 500:
                raise SystemExit(f"the channel pauses: {status} {answer}")
            time.sleep(pause)
        raise SystemExit("the server is away")


def main(base: str, token: str, schema_file: str) -> None:
    client = Client(base, token, json.loads(pathlib.Path(schema_file).read_text(encoding="utf-8")))
    run, at = new_id(), "2026-03-14T12:00:00Z"
    host = {"id": "1", "name": "PLAIN-LOJA001-PDV001", "store": 1, "terminal": 1}
    outcome = {"host": host, "outcome": "changed", "reason": "confirmed", "run_id": run, "message": "done by hand"}
    story = [
        client.envelope(
            "event", "run.started", {"run_id": run, "action": "wash_windows", "started_at": at, "hosts": 1}
        ),
        client.envelope("result", "host", outcome),
        client.envelope(
            "event", "run.finished", {"run_id": run, "exit_code": 0, "finished_at": at, "summary": {"changed": 1}}
        ),
    ]
    broken = client.envelope("event", "run.finished", {"run_id": run})
    first = client.send([*story, broken])
    again = client.send(story)
    # More than one batch may hold: refused as a whole, halved, and taken.
    many = client.send([client.envelope("event", "noted.by.hand", {"n": n}) for n in range(client.most + 1)])
    report = {
        "instance_id": new_id(),
        "clock_unix_ms": time.time_ns() // 1_000_000,
        "outbox": {"stream": client.stream, "highest_seq": client.seq},
    }
    status, heartbeat = client.post("/v1/heartbeat", report)
    learned = {
        "run": run,
        "first": first,
        "broken": broken["envelope_id"],
        "again": again,
        "many": many,
        "heartbeat": [status, heartbeat],
        "seq": client.seq,
    }
    sys.stdout.write(json.dumps(learned))


if __name__ == "__main__":
    main(*sys.argv[1:])
