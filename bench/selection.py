"""Selection and gates for 10,000 hosts, beside the Zabbix call that lists them. Run by `python -m bench selection`.

The peer is pyzabbix asking a real Zabbix 6.0 for the same fields of the same hosts. Ours is everything after that call: rows
checked and made into hosts, the filters, the gates that need no connection, and compatibility on facts that are given.
"""

from __future__ import annotations

import datetime as dt
import gc
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pyzabbix.api import ZabbixAPI

from bench import report
from contracts.config import NetworkConfig
from runtime.actions.registry import registered
from runtime.adapters import assets
from runtime.adapters.inventory import open_inventory
from runtime.domain import listed, machines, names
from runtime.domain.catalogue import Catalogue
from runtime.domain.facts import Facts
from runtime.domain.model import Allow, Deny, Host, Selector
from runtime.domain.pipeline import Request, RunPlan, resolve
from runtime.domain.selection import select
from runtime.engine import gates
from tests.harness import zabbix
from tests.harness.zabbix_api import HostSpec, Interface

Result = TypeVar("Result")

NETWORK = "BENCH"
STORES = 500
TILLS = 20
ROUNDS = 5
FACTS = Facts(distro="ubuntu", version="22.04", machine="x86_64", arch="x86_64", bits=64)
CACHED = (names._parsed, names._rest, names._tag_role, machines.canonical, machines.is_address, listed._parsed)
# A Tuesday afternoon, so that every freeze window is looked at and none is hit.
NOW = dt.datetime(2026, 3, 10, 18, 0, tzinfo=dt.UTC)


def document(running: zabbix.Zabbix) -> dict[str, Any]:
    """A network with a rollout, its lists, and freeze windows: every gate has something to do."""
    listed = [f"{NETWORK}-LOJA{store:03}-PDV{store % TILLS + 200}" for store in range(1, 41)]
    return {
        "network": NETWORK,
        "inventory": {"kind": "zabbix", "url": running.url, "token": running.token, "notes_credentials": True},
        "rollout": {"arius": {"percent": 50, "pilot": listed[:20], "never": listed[20:]}, "zanthus": {"percent": 10}},
        "freeze": [
            {"id": "christmas", "start": "2026-12-20T00:00", "end": "2026-12-27T00:00"},
            {"id": "saturday", "weekdays": ["sat"], "from_time": "08:00", "to_time": "22:00"},
            {"id": "night", "from_time": "23:00", "to_time": "02:00", "stores": list(range(1, 100))},
        ],
    }


def fill(running: zabbix.Zabbix) -> None:
    running.create_hosts(
        [
            HostSpec(
                f"{NETWORK}-LOJA{store:03}-PDV{200 + till}",
                name=f"{NETWORK} (LOJA{store:03}) PDV{200 + till}",
                groups=(NETWORK,),
                interfaces=(Interface(f"10.{store // 250}.{store % 250}.{till + 1}"),),
                tags=(("provider", "zanthus" if till % 4 == 0 else "arius"), ("pdv_tipo", "pdv_padrao")),
                notes="operator,secret,22",
            )
            for store in range(1, STORES + 1)
            for till in range(TILLS)
        ]
    )


def bare_call(running: zabbix.Zabbix) -> int:
    """What a script would do: log in, ask for the fields, take the rows as they are; how many there are."""
    client = ZabbixAPI(running.url)
    client.login(api_token=running.token)
    groups = client.hostgroup.get(filter={"name": [NETWORK]}, output=["groupid"])
    rows = client.host.get(
        groupids=[group["groupid"] for group in groups],
        filter={"status": 0},
        output=["hostid", "host", "name", "status", "maintenance_status"],
        selectInterfaces=["type", "main", "useip", "ip", "dns", "port", "available"],
        selectTags=["tag", "value"],
        selectGroups=["groupid", "name"],
        selectInventory=["notes"],
    )
    client.session.close()
    return len(rows)


def before_connecting(hosts: list[Host], job: RunPlan, rules: gates.Policy) -> Counter[str]:
    """Every host through role, rollout and freeze, even after a refusal; how many were told what first."""
    found: Counter[str] = Counter()
    for host in hosts:
        action = job.binding(host.provider).action
        verdicts = (
            gates.role(host, action, rules),
            gates.rolled_out(host, action, job.info.selector, rules),
            gates.frozen(host, action, rules, NOW),
        )
        denied = next((verdict for verdict in verdicts if isinstance(verdict, Deny)), None)
        found[denied.reason.value if denied else "allowed"] += 1
    return found


def after_connecting(hosts: list[Host], job: RunPlan, rules: gates.Policy) -> int:
    """Compatibility of every host; how many are allowed."""
    verdicts = (gates.compatible(FACTS, job.binding(host.provider), job, rules)[0] for host in hosts)
    return sum(isinstance(verdict, Allow) for verdict in verdicts)


def timed(work: Callable[[], Result]) -> tuple[float, float, Result]:
    """Seconds that passed, seconds of the processor, and what came of it."""
    started, begun = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - started, time.process_time() - begun, result


def main() -> None:
    """Prints medians and their ratios; differences under 15 % are noise."""
    known = registered()
    data = assets.load(assets.find_root(), known.names)
    with zabbix.running() as running:
        fill(running)
        config = NetworkConfig.model_validate(document(running))
        inventory = open_inventory(config, data.providers)
        selector = Selector(all=True, stores=tuple(range(1, STORES + 1)), agent_status=0)
        request = Request("update_endpoint_timezone", selector=selector)
        job = resolve(request, config, Catalogue(known, data.providers, data.minimums), agent_id="bench", now=NOW)
        rules = gates.policy(config, data.providers, data.rows)
        rounds: list[tuple[float, ...]] = []
        gc.freeze()  # as a run does before it has hosts
        for _ in range(ROUNDS):
            for cached in CACHED:
                cached.cache_clear()  # every run reads each name and address for the first time
            call_s, call_cpu, rows = timed(partial(bare_call, running))
            _, read_s, listing = timed(partial(inventory.read, selector))
            _, select_s, hosts = timed(partial(select, listing, selector))
            _, gates_s, answers = timed(partial(before_connecting, hosts, job, rules))
            _, compatible_s, allowed = timed(partial(after_connecting, hosts, job, rules))
            assert rows == len(listing.hosts) == len(hosts) == sum(answers.values()) == allowed == STORES * TILLS
            rounds.append((call_s, read_s - call_cpu, select_s, gates_s, compatible_s))
    call, *ours = (statistics.median(column) for column in zip(*rounds, strict=True))
    parts = ("rows checked and made into hosts", "select", "role, rollout, freeze", "compatibility")
    lines = [("the call, bare pyzabbix", report.ratio(1.0), "", f"{call:.3f}")]
    lines += [(part, report.ratio(s / call), "", f"{s:.3f}") for part, s in zip(parts, ours, strict=True)]
    lines += [("selection and gates, all of it", report.ratio(sum(ours) / call), "< 1", f"{sum(ours):.3f}")]
    title = f"Selection and gates, {STORES * TILLS} hosts, medians of {ROUNDS}; {dict(answers)}"
    report.table(title, ("what", "x the call", "goal", "seconds"), lines)


if __name__ == "__main__":
    main()
