"""Who answered at a host's address: stories of logins on a real state; cases in tests/cases/identity."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import yaml
from sqlalchemy import update

from runtime.adapters.state.hosts import SqlHostBook, retire_keys
from runtime.adapters.state.identities import SqlIdentities
from runtime.adapters.state.settlements import identities, settle, unsettle
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import host_keys
from runtime.domain.facts import Facts
from runtime.domain.identity import Finding, entry_index
from runtime.domain.model import Host
from runtime.domain.names import parse_name
from runtime.domain.ports import PinnedKey
from runtime.engine.recognise import recognise
from tests.unit.state.support import NOON, StillClock

CASES = Path(__file__).parents[2] / "cases" / "identity"
STORIES = {
    f"{path.stem}: {name}": steps
    for path in sorted(CASES.glob("*.yaml"))
    for name, steps in yaml.safe_load(path.read_text(encoding="utf-8")).items()
}


def key(letter: str) -> PinnedKey:
    return PinnedKey("ssh-ed25519 " + base64.b64encode(f"key {letter}".encode()).decode())


def entry(name: str) -> Host:
    """`201`, `SELF01`: of store 1; `2-201`: of store 2; `205@201`: PDV205 at PDV201's address; `double`: a free name there."""
    if "@" in name:
        terminal, _, there = name.partition("@")
        return replace(entry(terminal), address=entry(there).address)
    if name == "double":
        return replace(entry("201"), id=name, name=name, store=None, terminal=None)
    address = str(ip_address(0x0A000000 + crc32(name.encode()) % 2**24))
    if name == "caixa":
        return Host(name, name, "ACME", address, role="checkout")
    store, _, rest = name.rpartition("-")
    full = f"ACME-LOJA{int(store or 1):03}-{'PDV' if rest.isdigit() else ''}{rest}"
    read = parse_name(full)
    return Host(full, full, "ACME", address, store=read.store, terminal=read.terminal, role=read.role)


def login(state: State, step: dict[str, Any], listed: list[str]) -> Finding:
    """One login as process_one makes it: the key is pinned when it is new, then the machine is recognised."""
    host, says = entry(str(step["at"])), step["says"]
    facts = Facts(
        hostname=says.get("name", ""),
        machine_id=says.get("id", "") * 32,
        pos_store=says.get("store"),
        pos_terminal=says.get("pos"),
    )

    async def visit() -> Finding:
        book = SqlHostBook(state, StillClock())
        pinned, _ = await book.get(host)
        await book.save(host, key(step["key"]) if pinned is None else None, None)
        around = entry_index(map(entry, listed))
        return await recognise(host, facts, SqlIdentities(state, StillClock()), around, {}, reads=False)

    return asyncio.run(visit())


def found(finding: Finding) -> str:
    return "clear" if not finding.kind else f"{'told' if finding.clear else 'blocked'} {finding.kind}"


@pytest.mark.parametrize("story", STORIES)
def test_the_machine_is_recognised_in_each_step_of_a_story(story: str, state: State) -> None:
    steps = STORIES[story]
    here = [str(step["at"]) for step in steps if "at" in step]
    listed = {"201", "202", "203", "204", "SELF01", "caixa", *here}
    for number, step in enumerate(steps, start=1):
        if "settle" in step:
            settle(state, "ACME", key(step["settle"]).fingerprint, by="ana", now=NOON)
        elif "undo" in step:
            unsettle(state, "ACME", key(step["undo"]).fingerprint, by="ana", now=NOON)
        elif "list" in step:
            listed |= set(map(str, step["list"]))
        elif "lost" in step or "pin" in step:
            at = entry(str(step.get("lost", step.get("pin"))))
            asyncio.run(SqlHostBook(state, StillClock()).save(at, key(step["key"]), None))
            if "pin" in step:  # as the migration leaves it
                state.write(lambda connection: connection.execute(update(host_keys).values(asked=False)))
        elif "rekey" in step:
            retire_keys(state, "ACME", entry(str(step["rekey"])).name, by="ana", now=NOON)
        else:
            finding = login(
                state, step, [name for name in sorted(listed) if name not in map(str, step.get("without", ()))]
            )
            assert found(finding) == step["found"], f"login {number}: {finding}"
            if "note" in step:
                note = identities(state, "ACME")[entry(str(step["at"])).name.lower()].note
                assert (note.kind if note else "") == step["note"], f"login {number}"
