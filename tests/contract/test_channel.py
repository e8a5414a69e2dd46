"""The channel's messages: one example of each, hostile ones, and the published schema that agrees with the types."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from contracts import heartbeat, ingest, retry
from contracts.bodies import BODIES
from contracts.channel_schema import channel_schema
from contracts.envelope import Envelope, day_of, parse_id
from contracts.ids import uuid7

FOLDER = Path(__file__).parent / "channel"
EXAMPLES: list[dict[str, Any]] = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
HOSTILE: list[dict[str, Any]] = json.loads((FOLDER / "hostile.json").read_text(encoding="utf-8"))
SCHEMA = channel_schema()
# Decided by more than the envelope's shape: by the token, or by the day.
OUTSIDE_OF_SCHEMA = {"foreign", "too_old"}


def published(name: str) -> Draft202012Validator:
    return Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"}, format_checker=FormatChecker())


def name_of(example: dict[str, Any]) -> str:
    return f"{example['kind']} {example['sub']}"


def test_every_body_has_one_example() -> None:
    assert sorted((one["kind"], one["sub"]) for one in EXAMPLES) == sorted(BODIES)


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_an_example_is_what_type_and_schema_say(example: dict[str, Any]) -> None:
    published("Batch").validate([example])
    envelope = msgspec.json.decode(json.dumps(example), type=Envelope)
    body = msgspec.json.decode(envelope.body, type=BODIES[example["kind"], example["sub"]])
    assert parse_id(envelope.envelope_id) == uuid.UUID(example["envelope_id"]).hex
    again = msgspec.json.decode(msgspec.json.encode(body))
    assert set(again) >= set(example["body"])


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_unknown_fields_are_tolerated_everywhere(example: dict[str, Any]) -> None:
    newer = {**example, "colour": "blue", "body": {**example["body"], "colour": {"of": ["what"]}}}
    published("Envelope").validate(newer)
    envelope = msgspec.json.decode(json.dumps(newer), type=Envelope)
    msgspec.json.decode(envelope.body, type=BODIES[example["kind"], example["sub"]])


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case["name"])
def test_the_schema_refuses_what_a_server_calls_invalid(case: dict[str, Any]) -> None:
    loose = case.get("schema_accepts") or case["error"] in OUTSIDE_OF_SCHEMA
    assert published("Envelope").is_valid(case["envelope"]) is bool(loose)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0195a0a0-2000-7000-8000-000000000001", "0195a0a0-2000-7000-8000-000000000001"),
        ("0195A0A0-2000-7000-8000-000000000001", "0195a0a0-2000-7000-8000-000000000001"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01563e3a-b5d3-d676-4c61-efb99302bd5b"),
        ("01arz3ndektsv4rrffq69g5fav", "01563e3a-b5d3-d676-4c61-efb99302bd5b"),
        ("81ARZ3NDEKTSV4RRFFQ69G5FAV", None),  # more than 128 bits
        ("01ARZ3NDEKTSV4RRFFQ69G5FAI", None),  # ULIDs have no I
        ("7b0d7a3c-8f5e-4a57-9d5e-0c9b1a3f4e21", None),  # a UUID of version 4
        ("{0195a0a0-2000-7000-8000-0000000001}", None),
        ("0195a0a020007000800000000000000100-0", None),
        ("", None),
    ],
)
def test_an_id_is_a_uuid_of_version_7_or_a_ulid(text: str, found: str | None) -> None:
    assert parse_id(text) == (uuid.UUID(found).hex if found else None)


@given(st.integers(0, 2**48 - 1))
def test_the_day_of_an_id_is_the_day_of_its_milliseconds(ms: int) -> None:
    made = parse_id(uuid7(ms))
    assert made is not None
    assert day_of(made) == ms // 86_400_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Ingested", ingest.Ingested(2, 1, [ingest.Failed(1, None, "invalid", "no id")], "0.1.0")),
        ("HeartbeatAnswer", heartbeat.Answer(1773489600000, 30, highest_seq=7, image=heartbeat.Image(hold=True))),
        (
            "HeartbeatReport",
            heartbeat.Report(
                uuid7(), 1773489600000, outbox=heartbeat.Outbox(uuid7(), 4), runs=["r"], breakers={"ingest": "closed"}
            ),
        ),
    ],
)
def test_answers_and_reports_are_what_the_schema_says(name: str, value: msgspec.Struct) -> None:
    published(name).validate(msgspec.json.decode(msgspec.json.encode(value)))


def test_the_least_heartbeat_is_an_instance_and_a_clock() -> None:
    least = {"instance_id": uuid7(), "clock_unix_ms": 1}
    published("HeartbeatReport").validate(least)
    assert msgspec.json.decode(json.dumps(least), type=heartbeat.Report).mode == "daemon"


@pytest.mark.parametrize(
    ("status", "again", "batch"),
    [
        (None, True, None),
        (408, True, "again"),
        (425, True, "again"),
        (429, True, "again"),
        (500, True, "again"),
        (503, True, "again"),
        (599, True, "again"),
        (400, False, "halve"),
        (413, False, "halve"),
        (422, False, "halve"),
        (401, False, "pause"),
        (403, False, "pause"),
        (404, False, "pause"),
        (405, False, "pause"),
        (409, False, "pause"),
        (415, False, "pause"),
        (301, False, "pause"),
        (308, False, "pause"),
        (204, False, "pause"),
        (600, False, "pause"),
    ],
)
def test_each_status_has_one_consequence(status: int | None, again: bool, batch: str | None) -> None:
    assert retry.again(status) is again
    if status is not None:
        assert ingest.on_status(status) == batch


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e9))
def test_a_pause_is_bounded_and_never_shorter_than_what_was_asked_for(
    failures: int, spread: float, retry_after: float | None
) -> None:
    found = retry.pause(failures, spread, retry_after)
    assert min(retry_after or 0, 3600) <= found <= 3600
    assert found >= 1
    assert found <= max(min(2.0 ** min(failures, 20), 300), min(retry_after or 0, 3600), 1)


def test_pauses_grow_with_failures_and_are_spread() -> None:
    assert [retry.pause(n, 0.999999) for n in (1, 3, 5)] == pytest.approx([2, 8, 32], rel=1e-3)
    assert retry.pause(8, 0) == 1
    assert retry.pause(0, 0.5) == 1
