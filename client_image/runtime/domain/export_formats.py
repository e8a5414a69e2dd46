"""Business events and figures as StatsD lines and as OTLP/HTTP JSON. Pure. Called by the daemon's duty that exports them.

OTLP's JSON encoding is part of its specification, so no library and no memory is needed for it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.business import BUSINESS, Level

_UNSAFE = re.compile(r"[^A-Za-z0-9._/-]+")
_SEVERITY: Final[Mapping[Level, tuple[int, str]]] = {
    "info": (9, "INFO"),
    "warning": (13, "WARN"),
    "error": (17, "ERROR"),
}
# Of few values each, so that they may be a metric's tags.
_TAGS = ("action", "reason", "outcome", "exit_code", "verb", "dry_run", "healthy", "trusted")
_PACKET = 1400  # bytes; fits every Ethernet
_LONG = 1000
_DELTA = 1


@dataclass(frozen=True, slots=True)
class Told:
    """One event, or one row of figures. ``body``: as in the envelope."""

    kind: str
    sub: str
    body: Mapping[str, Any]
    correlation_id: str
    at: dt.datetime

    @property
    def level(self) -> Level:
        return BUSINESS.get((self.kind, self.sub), "info")  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which proxy it is."""

    agent_id: str
    network: str
    version: str


def statsd_packets(told: Iterable[Told], origin: Origin, *, tags: bool) -> list[bytes]:
    """``tags``: as DogStatsD has them, with an event of its own for each; plain StatsD knows names alone."""
    packets: list[bytes] = []
    for line in (line for one in told for line in _statsd(one, origin, tags=tags)):
        raw = line.encode()
        if packets and len(packets[-1]) + 1 + len(raw) <= _PACKET:
            packets[-1] += b"\n" + raw
        else:
            packets.append(raw)
    return packets


def _statsd(one: Told, origin: Origin, *, tags: bool) -> list[str]:
    if one.kind == "metric":
        suffix = _tags({"network": origin.network}) if tags else ""
        return [f"flagee.{_safe(one.sub)}.{_safe(name)}:{value}|g{suffix}" for name, value in _figures(one.body)]
    hosts = _figures(one.body.get("summary"))
    if not tags:
        return [f"flagee.event.{_safe(one.sub)}:1|c", *(f"flagee.run.hosts.{_safe(key)}:{n}|c" for key, n in hosts)]
    common = {"network": origin.network, "level": one.level, "kind": one.kind}
    known = {name: one.body[name] for name in _TAGS if one.body.get(name) not in (None, "")}
    suffix = _tags({**common, "event": one.sub, **known})
    title, text = one.sub, _sentence(one).replace("\n", " ")[:500]
    kind = "info" if one.level == "info" else one.level
    event = f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}|d:{int(one.at.timestamp())}|t:{kind}"
    counted = [f"flagee.run.hosts:{n}|c{_tags({**common, 'outcome': key})}" for key, n in hosts]
    return [f"flagee.event:1|c{suffix}", *counted, event + suffix]


def _tags(tags: Mapping[str, Any]) -> str:
    pairs = (f"{name}:{_safe(value)}" for name, value in tags.items() if value not in (None, ""))
    return "|#" + ",".join(pairs)


def _safe(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _UNSAFE.sub("_", text)[:200]


def otlp_logs(told: Sequence[Told], origin: Origin) -> bytes | None:
    """The body for `/v1/logs`; None where there is no event."""
    records = [_record(one) for one in told if one.kind != "metric"]
    if not records:
        return None
    scope = {"scope": {"name": "flageemonitor"}, "logRecords": records}
    return _json({"resourceLogs": [{"resource": _resource(origin), "scopeLogs": [scope]}]})


def otlp_metrics(told: Sequence[Told], origin: Origin) -> bytes | None:
    """The body for `/v1/metrics`: a gauge for each figure, and how many events of each kind came."""
    if not told:
        return None
    metrics = [
        {
            "name": f"flagee.{one.sub}.{name}",
            "gauge": {"dataPoints": [{"timeUnixNano": _nanos(one.at), "asDouble": value}]},
        }
        for one in told
        if one.kind == "metric"
        for name, value in _figures(one.body)
    ]
    events = [one for one in told if one.kind != "metric"]
    if events:
        first, last = _nanos(min(one.at for one in events)), _nanos(max(one.at for one in events))
        counts: dict[tuple[str, str], int] = {}
        for one in events:
            counts[one.sub, one.level] = counts.get((one.sub, one.level), 0) + 1
        points = [
            {
                "startTimeUnixNano": first,
                "timeUnixNano": last,
                "asInt": str(number),
                "attributes": _attributes({"event": sub, "level": level}),
            }
            for (sub, level), number in counts.items()
        ]
        total = {"aggregationTemporality": _DELTA, "isMonotonic": True, "dataPoints": points}
        metrics.append({"name": "flagee.events", "unit": "{event}", "sum": total})
    scope = {"scope": {"name": "flageemonitor"}, "metrics": metrics}
    return _json({"resourceMetrics": [{"resource": _resource(origin), "scopeMetrics": [scope]}]}) if metrics else None


def _record(one: Told) -> dict[str, Any]:
    number, text = _SEVERITY[one.level]
    record: dict[str, Any] = {
        "timeUnixNano": _nanos(one.at),
        "observedTimeUnixNano": _nanos(one.at),
        "severityNumber": number,
        "severityText": text,
        "eventName": one.sub,
        "body": {"stringValue": _sentence(one)},
        "attributes": _attributes({"event": one.sub, "correlation_id": one.correlation_id, **_flat(one.body)}),
    }
    with contextlib.suppress(ValueError):  # one of somebody else's making is in the attributes alone
        record["traceId"] = uuid.UUID(one.correlation_id).hex
    return record


def _resource(origin: Origin) -> dict[str, Any]:
    return {
        "attributes": _attributes(
            {
                "service.name": "flageemonitor-proxy",
                "service.instance.id": origin.agent_id,
                "service.version": origin.version,
                "flagee.network": origin.network,
            }
        )
    }


def _sentence(one: Told) -> str:
    host = one.body.get("host")
    name = host.get("name", "") if isinstance(host, Mapping) else ""
    message = one.body.get("message") or one.body.get("action") or ""
    return " ".join(str(part) for part in (one.sub, name, message) if part)[:_LONG]


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values, and those of an object one level below with its name in front; lists as JSON."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in value.items() if isinstance(inner, str | int | float)}
        elif isinstance(value, list):
            found[name] = json.dumps(value)
        else:
            found[name] = value
    return found


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value not in (None, "")]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if abs(value) < 2**63 else {"stringValue": str(value)}
    if isinstance(value, float) and math.isfinite(value):
        return {"doubleValue": value}
    return {"stringValue": str(value)[:_LONG]}


def _figures(values: Any) -> list[tuple[str, float]]:
    inner = values.get("values", values) if isinstance(values, Mapping) else {}
    known = inner.items() if isinstance(inner, Mapping) else ()
    return [(str(name), value) for name, value in known if isinstance(value, int | float) and math.isfinite(value)]


def _nanos(at: dt.datetime) -> str:
    return str(max(0, int(at.timestamp() * 1000)) * 1_000_000)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
