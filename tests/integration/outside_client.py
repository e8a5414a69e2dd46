"""A client of the channel that knows docs/channel.md, docs/channel-messages.md and docs/channel.schema.json.

It imports nothing of FlageeMonitor: what it does, any program can do. Clocks and jitter are passed in as functions.
"""

from __future__ import annotations

import gzip
import json
import secrets
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests

BATCH_BYTES = 512 * 1000
BATCH_ENVELOPES = 1000
PAUSE_S = 300.0
MOST_DEAD_LETTERS = 1000
DEAD = frozenset({"invalid", "too_large", "foreign", "too_old"})
ERRORS = DEAD | {"duplicate", "unknown_kind", "quota", "unavailable"}
TOMBSTONE = "outbox.lost"
UNIFORM = secrets.SystemRandom().uniform

TABLES = """
CREATE TABLE IF NOT EXISTS outbox (place INTEGER PRIMARY KEY AUTOINCREMENT, envelope_id TEXT NOT NULL UNIQUE,
  stream TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, sub TEXT NOT NULL, made REAL NOT NULL,
  envelope TEXT NOT NULL, unknown_to TEXT);
CREATE TABLE IF NOT EXISTS dead (place INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, seq INTEGER NOT NULL,
  kind TEXT NOT NULL, sub TEXT NOT NULL, envelope TEXT NOT NULL, error TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS state (only INTEGER PRIMARY KEY CHECK (only = 1), stream TEXT NOT NULL,
  seq INTEGER NOT NULL, dropped INTEGER NOT NULL);
"""

Row = tuple[int, str, str, int, str, str, str]
"""place, envelope_id, stream, seq, kind, sub, envelope"""


def uuid7(unix_ms: int) -> str:
    """48 bits of time, the version, 12 random bits, the variant, 62 random bits."""
    value = (unix_ms & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def ranges_of(numbers: Sequence[int]) -> list[list[int]]:
    """Numbers as ranges, both ends included."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


class Bearer(requests.auth.AuthBase):
    """The token of the agent; a .netrc of the machine does not replace it."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass
class Gate:
    """When one address may be asked again, and why not now."""

    monotonic: Callable[[], float]
    jitter: Callable[[float, float], float]
    failures: int = 0
    not_before: float = 0.0
    why: str = ""

    def wait(self) -> float:
        return max(0.0, self.not_before - self.monotonic())

    def open(self) -> None:
        self.failures, self.not_before, self.why = 0, 0.0, ""

    def again(self, why: str, floor: float = 0.0) -> None:
        """Full jitter between 1 s and 1 s·2^n, at most 5 min; the floor is `Retry-After`, up to 1 h."""
        self.failures, self.why = self.failures + 1, why
        pause = self.jitter(1.0, min(PAUSE_S, 2.0 ** min(self.failures, 10)))
        self.not_before = self.monotonic() + max(pause, min(floor, 3600.0))

    def pause(self, why: str) -> None:
        self.why, self.not_before = why, self.monotonic() + PAUSE_S


def retry_after(answer: requests.Response, now: float) -> float:
    """Seconds, from a number or a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0


class Client:
    """One agent with one outbox. `heartbeat` and `deliver` answer how many seconds to wait before the next call."""

    def __init__(
        self,
        url: str,
        token_file: Path,
        outbox: Path,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = UNIFORM,
    ) -> None:
        self.url, self.token_file, self.wall, self.monotonic = url.rstrip("/"), token_file, wall, monotonic
        self.session = requests.Session()
        self.ingest, self.beat = Gate(monotonic, jitter), Gate(monotonic, jitter)
        self.instance_id, self.started, self.server_version = uuid7(self._ms()), monotonic(), ""
        self.interval_s = 30
        try:
            self.db = self._opened(outbox)
        except sqlite3.DatabaseError:  # A damaged outbox is put aside, and a new stream begins.
            outbox.rename(outbox.with_name(f"{outbox.name}.damaged-{self._ms()}"))
            self.db = self._opened(outbox)

    def close(self) -> None:
        self.session.close()
        self.db.close()

    # The outbox

    def add(self, kind: str, sub: str, body: dict[str, Any], **more: object) -> str:
        """Keep one envelope until it is acknowledged; its id."""
        with self.db:
            return self._insert(kind, sub, body, more)

    def waiting(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def dead_letters(self) -> list[tuple[dict[str, Any], str, str]]:
        """Each envelope that is never sent again, with its error and detail."""
        found = self.db.execute("SELECT envelope, error, detail FROM dead ORDER BY place")
        return [(json.loads(envelope), error, detail) for envelope, error, detail in found]

    def stream(self) -> tuple[str, int]:
        """The stream and the last `seq` that was given in it, 0 before the first."""
        found = self.db.execute("SELECT stream, seq FROM state").fetchone()
        return str(found[0]), int(found[1])

    # The channel

    def heartbeat(self) -> float:
        """Say how the agent is, unless it is too early."""
        if (wait := self.beat.wait()) > 0:
            return wait
        stream, seq = self.stream()
        waiting, oldest = self.db.execute("SELECT count(*), min(made) FROM outbox").fetchone()
        report = {
            "instance_id": self.instance_id,
            "clock_unix_ms": self._ms(),
            "version": "outside 1",
            "uptime_s": int(self.monotonic() - self.started),
            "outbox": {
                "stream": stream,
                "highest_seq": seq,
                "waiting": waiting,
                "dead": self.db.execute("SELECT count(*) FROM dead").fetchone()[0],
                "dropped": self.db.execute("SELECT dropped FROM state").fetchone()[0],
                "oldest_s": None if oldest is None else max(0, int(self.wall() - oldest)),
            },
            "trouble": [self.ingest.why] if self.ingest.why else [],
        }
        answer = self._post(self.beat, "/v1/heartbeat", report)
        told = {} if answer is None else _object(answer)
        if answer is not None and (answer.status_code != 200 or not isinstance(told.get("interval_s"), int)):
            self.beat.again(f"/v1/heartbeat: {answer.status_code} {answer.text[:200]}")
            answer = None
        if answer is None:  # None is repeated: a new one goes after the interval, or a longer pause.
            self.beat.not_before = max(self.beat.not_before, self.monotonic() + self.interval_s)
            return self.beat.wait()
        self.beat.open()
        self.interval_s = told["interval_s"]
        self.beat.not_before = self.monotonic() + self.interval_s
        with self.db:
            self._seen(told.get("server_version"))
            if isinstance(told.get("highest_seq"), int) and told["highest_seq"] > seq:
                # The control plane has a later one: this file is an older copy, and its numbers would be given twice.
                self.db.execute("UPDATE state SET stream = ?, seq = 0", (uuid7(self._ms()),))
        return self.beat.wait()

    def deliver(self) -> float:
        """Send what may be sent now, the newest first; 0 when nothing is left to send."""
        while not (wait := self.ingest.wait()) and (rows := self._batch()):
            self._send(rows)
        return wait

    def _send(self, rows: list[Row]) -> None:
        answer = self._post(self.ingest, "/v1/ingest", [json.loads(row[6]) for row in rows])
        if answer is None:
            return
        told = _object(answer)
        # A page of something in between is no answer about the batch, whatever its status.
        if answer.status_code in (400, 413, 422) and isinstance(told.get("reason"), str):
            half = len(rows) // 2
            if not half:
                with self.db:
                    self._bury(rows[0], f"http_{answer.status_code}", answer.text[:200])
                return
            self._send(rows[:half])
            if not self.ingest.wait():
                self._send(rows[half:])
            return
        if answer.status_code != 200 or not _fits(told, rows):
            self.ingest.pause(f"/v1/ingest: {answer.status_code} {answer.text[:200]}")
            return
        self._apply(rows, {each["index"]: each for each in told["failed"]}, told.get("server_version"))

    def _apply(self, rows: list[Row], failed: dict[int, dict[str, Any]], version: object) -> None:
        kept = ""
        with self.db:
            self._seen(version)
            lost: list[Row] = []
            for index, row in enumerate(rows):
                error = str(failed.get(index, {}).get("error", "duplicate"))
                if error == "duplicate":
                    self.db.execute("DELETE FROM outbox WHERE place = ?", row[:1])
                elif error in DEAD:
                    self._bury(row, error, str(failed[index].get("detail", "")))
                    lost += [row] if error == "too_old" else []
                elif error == "unknown_kind":
                    self.db.execute("UPDATE outbox SET unknown_to = ? WHERE place = ?", (self.server_version, row[0]))
                else:  # quota, unavailable
                    kept = error
            self._tombstones(lost, "too_old")
        if kept:
            self.ingest.again(f"/v1/ingest: {kept}")
        else:
            self.ingest.open()

    def _post(self, gate: Gate, path: str, content: object) -> requests.Response | None:
        """The answer, or None where the same is sent again later (the gate says when)."""
        sent = gzip.compress(json.dumps(content, ensure_ascii=False, allow_nan=False).encode())
        try:
            answer = self.session.post(
                self.url + path,
                data=sent,
                headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
                auth=Bearer(self.token_file.read_text().strip()),
                allow_redirects=False,
                timeout=(10, 30),
            )
        except requests.RequestException as error:
            gate.again(f"{path}: {type(error).__name__}")
            return None
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            gate.again(f"{path}: {answer.status_code}", retry_after(answer, self.wall()))
            return None
        return answer

    # Rows

    def _ms(self) -> int:
        return int(self.wall() * 1000)

    def _opened(self, outbox: Path) -> sqlite3.Connection:
        db = sqlite3.connect(outbox)
        try:
            db.executescript(TABLES)
            with db:
                db.execute("INSERT OR IGNORE INTO state VALUES (1, ?, 0, 0)", (uuid7(self._ms()),))
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def _insert(self, kind: str, sub: str, body: dict[str, Any], more: dict[str, object]) -> str:
        self.db.execute("UPDATE state SET seq = seq + 1")
        (stream, seq), made = self.stream(), self.wall()
        made_id = uuid7(int(made * 1000))
        envelope = {"envelope_id": made_id, "kind": kind, "sub": sub, "ts_unix_ms": int(made * 1000), "body": body}
        envelope |= {"stream": stream, "seq": seq} | more
        text = json.dumps(envelope, ensure_ascii=False, allow_nan=False)
        self.db.execute(
            "INSERT INTO outbox (envelope_id, stream, seq, kind, sub, made, envelope) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (envelope["envelope_id"], stream, seq, kind, sub, made, text),
        )
        return str(envelope["envelope_id"])

    def _batch(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        for row in self.db.execute(
            "SELECT place, envelope_id, stream, seq, kind, sub, envelope FROM outbox WHERE unknown_to IS NULL"
            " ORDER BY place DESC LIMIT ?",
            (BATCH_ENVELOPES,),
        ):
            size += len(row[6].encode())
            if rows and size > BATCH_BYTES:
                break
            rows.append(row)
        return rows

    def _seen(self, version: object) -> None:
        """A server of another version may know the kinds that the one before did not."""
        if isinstance(version, str) and version:
            self.server_version = version
            self.db.execute("UPDATE outbox SET unknown_to = NULL WHERE unknown_to <> ?", (version,))

    def _bury(self, row: Row, error: str, detail: str) -> None:
        self.db.execute("DELETE FROM outbox WHERE place = ?", row[:1])
        self.db.execute(
            "INSERT INTO dead (stream, seq, kind, sub, envelope, error, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row[2:], error, detail),
        )
        older = self.db.execute(
            "SELECT place, '', stream, seq, kind, sub, envelope FROM dead ORDER BY place DESC LIMIT -1 OFFSET ?",
            (MOST_DEAD_LETTERS,),
        ).fetchall()
        self.db.executemany("DELETE FROM dead WHERE place = ?", [each[:1] for each in older])
        self._tombstones(older, "dead_letters")

    def _tombstones(self, rows: Sequence[Row], cause: str) -> None:
        """One for each stream. A tombstone gets none itself: a clock that is far behind would make them without end."""
        told = [row for row in rows if row[5] != TOMBSTONE]
        for stream in sorted({row[2] for row in told}):
            lost = [row for row in told if row[2] == stream]
            ranges = ranges_of([row[3] for row in lost])
            self.db.execute("UPDATE state SET dropped = dropped + ?", (len(lost),))
            body = {
                "dropped": len(lost),
                "at": datetime.fromtimestamp(self.wall(), UTC).isoformat(),
                "cause": cause,
                "stream": stream,
                "kinds": dict(Counter(row[4] for row in lost)),
                "ranges": ranges[:64],
                "beyond": sum(last - first + 1 for first, last in ranges[64:]),
            }
            self._insert("event", TOMBSTONE, body, {})


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _fits(told: dict[str, Any], rows: list[Row]) -> bool:
    """Every failure names another envelope of this batch, by its place and its id, and the counts agree."""
    failed = told.get("failed")
    places = {
        each["index"]
        for each in (failed if isinstance(failed, list) else ())
        if isinstance(each, dict)
        and isinstance(each.get("index"), int)
        and 0 <= each["index"] < len(rows)
        and each.get("envelope_id") in (None, rows[each["index"]][1])
        and str(each.get("error")) in ERRORS
    }
    counts = (told.get("received"), told.get("stored"))
    return isinstance(failed, list) and len(places) == len(failed) and counts == (len(rows), len(rows) - len(places))
