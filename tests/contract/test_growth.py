"""Reading, checking and comparing documents costs in proportion to their length: no long list stops a server or a proxy.

Counted are calls of functions, which are the same on every machine, for three lengths that double.
"""

import cProfile
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import contracts
from contracts.action_check import Check
from contracts.bounded import Unreadable, read_json
from contracts.catalogue import FILE, parse_catalogue
from contracts.changes import changes
from contracts.document import DocumentError, read_document
from contracts.masking import masked

NOW = dt.datetime(2026, 7, 1, 12, 0, tzinfo=dt.UTC)
CATALOGUE = parse_catalogue((Path(contracts.__file__).parent / FILE).read_text(encoding="utf-8"))
STEP = 40


def document(**parts: Any) -> dict[str, Any]:
    return {"schema_version": 2, "network": "SOL", "inventory": {"kind": "static", "hosts": []}, **parts}


def first_generation(**parts: Any) -> dict[str, Any]:
    return {"PARAM_REDE": "SOL", "PARAM_ZABBIX_SERVER": "https://zabbix.example", "PARAM_TOKEN": "t", **parts}


def address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def hosts(size: int, **more: Any) -> dict[str, Any]:
    return {"kind": "static", "hosts": [{"name": f"PDV{n}", "address": address(n), **more} for n in range(size)]}


def jobs(size: int, action: str = "test_endpoint_connection", **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"j{n}", "action": action, "cron": "0 3 * * *", **more} for n in range(size)]


def freezes(size: int) -> list[dict[str, Any]]:
    return [{"id": f"f{n}", "start": "2026-12-24T00:00", "end": "2026-12-26T00:00"} for n in range(size)]


def shutdown(**params: Any) -> dict[str, Any]:
    return {"shutdown_endpoint": {"params": params}}


EVERY = {"all": True}
DOCUMENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "hosts": lambda n: document(inventory=hosts(n)),
    "hosts twice": lambda n: document(inventory={"kind": "static", "hosts": hosts(n)["hosts"] * 2}),
    "hosts of credentials": lambda n: document(
        credentials=[{"id": f"c{i}", "user": "root", "password": "x"} for i in range(n)],
        inventory=hosts(n, credential="c1"),
    ),
    "wrong hosts": lambda n: document(inventory=hosts(n, port=0)),
    "unknown keys": lambda n: document(**{f"k{i}": 1 for i in range(n)}),
    "unknown keys of hosts": lambda n: document(inventory=hosts(n, strange=1)),
    "must_understand": lambda n: document(must_understand=[f"k{i}" for i in range(n)]),
    "gateways in networks": lambda n: document(
        ssh={"allowed_networks": [*(f"172.16.{i & 255}.{i >> 8}/32" for i in range(n)), "10.0.0.0/8"]},
        stores={str(i): {"gateway": "10.0.0.1"} for i in range(n)},
    ),
    "jobs": lambda n: document(schedule=jobs(n)),
    "jobs of unknown actions": lambda n: document(schedule=[{**job, "action": job["id"]} for job in jobs(n)]),
    "jobs and freezes": lambda n: document(schedule=jobs(n, "shutdown_endpoint", selector=EVERY), freeze=freezes(n)),
    "jobs and hosts": lambda n: document(schedule=jobs(n, selector={"hosts": ["PDV1"]}), inventory=hosts(n)),
    "jobs and unknown actions": lambda n: document(schedule=jobs(n), actions={f"a{i}": {} for i in range(n)}),
    "jobs and exceptions": lambda n: document(
        schedule=jobs(n, "shutdown_endpoint", selector=EVERY), actions=shutdown(exceptions=[*map(address, range(n))])
    ),
    "jobs and windows of stores": lambda n: document(
        schedule=jobs(n, "shutdown_endpoint", selector=EVERY),
        actions=shutdown(windows=[{"start": "22:00", "end": "06:00", "stores": [i]} for i in range(n)]),
    ),
    "stores of a job with windows": lambda n: document(
        schedule=jobs(1, "shutdown_endpoint", selector={"stores": [*range(n)]}),
        actions=shutdown(windows=[{"start": "22:00", "end": "06:00", "stores": [i]} for i in range(n)]),
    ),
    "a selector of all hosts": lambda n: document(
        schedule=jobs(1, selector={"hosts": [f"PDV{i}" for i in range(n)]}), inventory=hosts(n)
    ),
    "overrides": lambda n: document(overrides={"arius": {f"a{i}": "shutdown_endpoint" for i in range(n)}}),
    "rollouts": lambda n: document(rollout={f"p{i}": {"percent": 1} for i in range(n)}),
    "pilots": lambda n: document(rollout={"arius": {"pilot": [f"h{i}" for i in range(n)]}}),
    "networks": lambda n: document(ssh={"allowed_networks": [f"10.{i >> 8}.{i & 255}.0/24" for i in range(n)]}),
    "strangers of the first generation": lambda n: first_generation(**{f"X{i}": 1 for i in range(n)}),
    "exceptions of the first generation": lambda n: first_generation(
        shutdown_exception_ips=",".join(map(address, range(n)))
    ),
    "concentrators of both generations": lambda n: first_generation(
        CONCENTRADORES=[{"ip": address(i), "loja": i} for i in range(n)],
        concentrators=[{"address": address(i)} for i in range(n)],
    ),
}
TEXTS: dict[str, Callable[[int], bytes]] = {
    "one key again and again": lambda n: b"{" + b",".join([b'"k":1'] * n) + b"}",
    "the last key twice": lambda n: b"{" + b"".join(b'"k%d":1,' % i for i in range(n)) + b'"k1":1}',
    "a number far in": lambda n: b"[" + b'{"a":1},' * n + b"1e999]",
    "brackets": lambda n: b"[" * n,
    "cut off": lambda n: b"[" + b"1,\n" * n,
}


def calls_of(work: Callable[[], object]) -> int:
    """How many functions were called, those in C too."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def require_proportion(work: Callable[[int], object]) -> None:
    work(STEP)  # what is made once and kept
    short, middle, long = (calls_of(lambda size=size: work(size)) for size in (STEP, 2 * STEP, 4 * STEP))  # type: ignore[misc]
    assert long - middle <= 2.5 * (middle - short) + 400, (short, middle, long)


def everything_about(data: dict[str, Any]) -> None:
    """What `config set` does with a document, and a proxy that reads it."""
    raw = json.dumps(data).encode()
    masked(data, ())
    for strict in (True, False):
        try:
            config = read_document(raw, strict=strict).config
        except DocumentError as error:
            str(error)
            continue
        list(Check(config, CATALOGUE, NOW).findings())
        other = read_document(json.dumps(document()).encode(), strict=True).config
        for before, after in ((None, config), (other, config), (config, other)):
            changes(before, after, CATALOGUE)


@pytest.mark.parametrize("made", DOCUMENTS.values(), ids=DOCUMENTS)
def test_work_on_a_document_grows_with_its_length(made: Callable[[int], dict[str, Any]]) -> None:
    require_proportion(lambda size: everything_about(made(size)))


@pytest.mark.parametrize("made", TEXTS.values(), ids=TEXTS)
def test_reading_a_text_grows_with_its_length(made: Callable[[int], bytes]) -> None:
    def read(size: int) -> None:
        with pytest.raises(Unreadable):
            read_json(made(size))

    require_proportion(read)
