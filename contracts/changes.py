"""What a new document changes for terminals, in sentences, the most dangerous first. Pure.

Called by `flagee-server config set` before it stores. ``danger`` is what reaches more terminals, or protects fewer, than before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from contracts.action_names import Contradiction, default_at, merged, settings_of
from contracts.address import parse_network
from contracts.catalogue import ActionEntry, Catalogue
from contracts.config import ActionSettings, FreezeWindow, Job, NetworkConfig, Rollout, StaticInventory
from contracts.differences import differences, shown
from contracts.in_words import items, job_in_words, listed, window_in_words
from contracts.parameters import model_of, secrets_of
from contracts.static_hosts import StaticHosts
from contracts.text import all_of, joined, say

Level = Literal["danger", "warning", "info"]
_ORDER: tuple[Level, ...] = ("danger", "warning", "info")
_LEVEL: Mapping[str, Level] = {"disrupt": "danger", "change": "warning", "read": "info"}
_STRICTNESS = ("off", "warn", "enforce")
# Parts that have sentences of their own; every other difference is told by its path.
_SPOKEN = {"schedule", "actions", "rollout", "freeze", "overrides"}
_WIDER = {
    "inventory": say("other hosts may be selected"),
    "provider": say("hosts without a tag belong to another software house"),
    "timezone": say("every time without a zone of its own moves"),
    "compatibility.allow_loosening": say("a run by hand may choose a weaker mode"),
}


@dataclass(frozen=True, slots=True)
class Change:
    level: Level
    path: str
    text: str

    def __str__(self) -> str:
        return self.text


def changes(before: NetworkConfig | None, after: NetworkConfig, catalogue: Catalogue) -> tuple[Change, ...]:
    """``before`` None: the first document of the network."""
    found = list(_all(before, after, catalogue))
    return tuple(sorted(found, key=lambda change: _ORDER.index(change.level)))


def _all(before: NetworkConfig | None, after: NetworkConfig, catalogue: Catalogue) -> Iterator[Change]:
    old, new = _Sides(before, catalogue), _Sides(after, catalogue)
    if before is None:
        yield Change("warning", "", say("first: the first document of network {network}", network=after.network))
    yield from _jobs(old, new)
    yield from _actions(old, new)
    yield from _rollouts(old, new)
    if before is None:
        return
    yield from _freezes(before.freeze, after.freeze)
    yield from _overrides(before, after)
    yield from _reach(before, after)
    for path, was, now in differences(before, after):
        if path.partition(".")[0] in _SPOKEN or path.startswith(
            ("ssh.allowed_networks", "concentrators", "compatibility.mode")
        ):
            continue
        wider = next((text for key, text in _WIDER.items() if path == key or path.startswith(f"{key}.")), None)
        text = say("changed: {path}: {before} -> {after}", path=path, before=was, after=now)
        yield Change("danger" if wider else "info", path, joined((text, wider), ": ") if wider else text)


class _Sides:
    """One of the two documents with what the catalogue says about it."""

    def __init__(self, config: NetworkConfig | None, catalogue: Catalogue) -> None:
        self.config, self.catalogue = config, catalogue
        self.names = cache(catalogue.names)
        # Asked once a job, and each reads the whole document.
        self.settings = cache(self._settings)
        self._model = cache(lambda action: model_of(catalogue.actions[action].parameters, action))
        self._unchanged = cache(lambda action: self._params(action, {}))
        self.hosts: StaticHosts | None = None
        if config and isinstance(config.inventory, StaticInventory):
            self.hosts = StaticHosts(config.inventory.hosts, config.provider)

    def _settings(self, action: str) -> ActionSettings:
        if self.config is None:
            return ActionSettings()
        try:
            found = settings_of(action, self.catalogue.actions[action].adds, self.config, self.names())
        except Contradiction:  # no run starts, and the check of the document says so
            return ActionSettings(enabled=False)
        return found or ActionSettings()

    def params(self, action: str, own: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with the action's defaults, as JSON values, secrets too; as they are written where they cannot be used."""
        return self._params(action, own) if own else self._unchanged(action)

    def _params(self, action: str, own: Mapping[str, Any]) -> dict[str, Any]:
        entry = self.catalogue.actions[action]
        given = {name: default_at(self.config, path) for name, path in entry.defaults.items()} if self.config else {}
        values = merged({**given, **self.settings(action).params}, own, entry.adds)
        try:
            plain = self._model(action).model_validate(values).model_dump(mode="json") if entry.parameters else values
        except ValueError:
            return values
        # The model masks its secrets, and two masked ones look alike.
        return plain | {name: values[name] for name in secrets_of(entry.parameters) & values.keys()}

    def jobs(self) -> dict[str, tuple[Job, str, ActionEntry]]:
        """The jobs that are started: id -> job, canonical action, entry."""
        found = {}
        for job in self.config.schedule if self.config else ():
            action = self.names(job.selector.provider).get(job.action, "")
            entry = self.catalogue.actions.get(action)
            if entry and entry.available and job.enabled and self.settings(action).enabled:
                found[job.id] = (job, action, entry)
        return found

    def told(self, job: Job, action: str, entry: ActionEntry) -> str:
        assert self.config is not None  # noqa: S101  # only jobs of a document are told
        return job_in_words(job, entry, self.params(action, job.params), self.config.timezone, self.hosts)


def _jobs(old: _Sides, new: _Sides) -> Iterator[Change]:
    was, now = old.jobs(), new.jobs()
    for key, (job, action, entry) in now.items():
        path, text = f"schedule.{key}", new.told(job, action, entry)
        level: Level = "info" if job.dry_run else _LEVEL[entry.effect]
        if key not in was:
            yield Change(level, path, say("new: {job}", job=text))
        elif (before := old.told(*was[key])) != text:
            yield Change(level, path, say("changed: {job}; before: {before}", job=text, before=before))
        elif was[key][0] != job:
            parts = ", ".join(path for path, _, _ in differences(was[key][0], job))
            yield Change("info", path, say("changed: {parts} of job {job}", parts=parts, job=key))
    for key in sorted(was.keys() - now.keys()):
        yield Change("info", f"schedule.{key}", say("removed: {job}", job=old.told(*was[key])))


def _actions(old: _Sides, new: _Sides) -> Iterator[Change]:
    for action, entry in new.catalogue.actions.items():
        if not entry.available:
            continue
        path, was, now = f"actions.{action}", old.settings(action), new.settings(action)
        if was.enabled != now.enabled:
            level: Level = _LEVEL[entry.effect] if now.enabled else "info"
            yield Change(
                level,
                path,
                say("changed: {action} is switched on", action=action)
                if now.enabled
                else say("changed: {action} is switched off", action=action),
            )
        if old.config is not None:
            yield from _parameters(action, entry, old.params(action, {}), new.params(action, {}))


def _parameters(action: str, entry: ActionEntry, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    secrets, declared = secrets_of(entry.parameters), entry.parameters.get("properties", {})
    for name in sorted(was.keys() | now.keys()):
        before, after, path = was.get(name), now.get(name), f"actions.{action}.params.{name}"
        if before == after:
            continue
        if name in entry.protects:
            yield from _protection(path, action, items(before), items(after))
        elif name == entry.windows:
            texts = [listed(items(value), window_in_words) for value in (before, after)]
            text = say(
                "changed: window of {action}: {before} -> {after}", action=action, before=texts[0], after=texts[1]
            )
            yield Change(_LEVEL[entry.effect], path, text)
        else:
            harmless = name in declared and name not in secrets
            text = (
                say(
                    "changed: {name} of {action}: {before} -> {after}",
                    name=name,
                    action=action,
                    before=shown(name, before),
                    after=shown(name, after),
                )
                if harmless
                else say("changed: {name} of {action}: a new value", name=name, action=action)
            )
            yield Change("warning", path, text)


def _protection(path: str, what: str, before: Iterable[str], after: Iterable[str]) -> Iterator[Change]:
    lost, won = _only_in(before, after), _only_in(after, before)
    if lost:
        text = say(
            "removed: {hosts} is no longer protected from {action} ({path})", hosts=listed(lost), action=what, path=path
        )
        yield Change("danger", path, text)
    if won:
        text = say("new: {hosts} is protected from {action} ({path})", hosts=listed(won), action=what, path=path)
        yield Change("info", path, text)


def _only_in(these: Iterable[Any], those: Iterable[Any]) -> list[Any]:
    """In their order. Values that cannot be used may be of any kind, also one that no set takes."""
    known = {json.dumps(one, sort_keys=True) for one in those}
    return [one for one in these if json.dumps(one, sort_keys=True) not in known]


def _rollouts(old: _Sides, new: _Sides) -> Iterator[Change]:
    names = {
        *new.catalogue.providers,
        *(old.config.rollout if old.config else ()),
        *(new.config.rollout if new.config else ()),
    }
    for name in sorted(names):
        path, (before, was), (after, now) = f"rollout.{name}", _share(old, name), _share(new, name)
        if old.config is None:
            if after or now.pilot:
                text = say(
                    "rollout of {provider}: {percent} % of its hosts", provider=name, percent=f"{after.normalize():f}"
                )
                if now.pilot:
                    text = say("{rollout} and {number} pilot hosts", rollout=text, number=len(now.pilot))
                yield Change("info", path, text)
            continue
        if before != after:
            shares = f"{before.normalize():f} % -> {after.normalize():f} %"
            if after > before:
                text = say("changed: rollout of {provider}: {shares}, more hosts", provider=name, shares=shares)
                yield Change("danger", path, text)
            else:
                text = say("changed: rollout of {provider}: {shares}, fewer hosts", provider=name, shares=shares)
                yield Change("info", path, text)
        if was.salt != now.salt:
            text = say("changed: the salt of the rollout of {provider}: other hosts are drawn", provider=name)
            yield Change("danger", f"{path}.salt", text)
        yield from _protection(f"{path}.never", say("every action"), was.never, now.never)
        if added := _only_in(now.pilot, was.pilot):
            yield Change(
                "warning",
                f"{path}.pilot",
                say("new: pilot hosts of {provider}: {hosts}", provider=name, hosts=listed(added)),
            )
        if gone := _only_in(was.pilot, now.pilot):
            yield Change(
                "info",
                f"{path}.pilot",
                say("removed: pilot hosts of {provider}: {hosts}", provider=name, hosts=listed(gone)),
            )


def _share(side: _Sides, name: str) -> tuple[Decimal, Rollout]:
    """The percent that holds, as :func:`runtime.domain.rollout.in_force` has it: pilots without a share are the only ones in."""
    written = side.config.rollout.get(name, Rollout()) if side.config else Rollout()
    if written.percent is not None:
        return written.percent, written
    entry = side.catalogue.providers.get(name)
    return (entry.default_rollout if entry and not written.pilot else Decimal(0)), written


def _freezes(before: Iterable[FreezeWindow], after: Iterable[FreezeWindow]) -> Iterator[Change]:
    was, now = {one.id: one for one in before}, {one.id: one for one in after}
    for key in sorted(was.keys() - now.keys()):
        yield Change(
            "danger", f"freeze.{key}", say("removed: freeze {freeze} ({when})", freeze=key, when=_frozen(was[key]))
        )
    for key, freeze in now.items():
        if key not in was:
            yield Change(
                "info", f"freeze.{key}", say("new: freeze {freeze} ({when})", freeze=key, when=_frozen(freeze))
            )
        elif was[key] != freeze:
            text = say(
                "changed: freeze {freeze}: {before} -> {after}",
                freeze=key,
                before=_frozen(was[key]),
                after=_frozen(freeze),
            )
            yield Change("danger", f"freeze.{key}", text)


def _frozen(freeze: FreezeWindow) -> str:
    parts: list[str] = []
    if freeze.start is not None:
        parts.append(
            say("{start} to {end}", start=f"{freeze.start:%Y-%m-%d %H:%M}", end=f"{freeze.end:%Y-%m-%d %H:%M}")
        )
    else:
        days = f"{','.join(freeze.weekdays)} " if freeze.weekdays else ""
        parts.append(f"{days}{freeze.from_time:%H:%M}-{freeze.to_time:%H:%M}")
    if freeze.stores:
        parts.append(say("store {stores}", stores=listed(freeze.stores)))
    if freeze.timezone:
        parts.append(freeze.timezone)
    parts.append(say("holds {effects}", effects=all_of(freeze.effects)))
    return joined(parts)


def _overrides(before: NetworkConfig, after: NetworkConfig) -> Iterator[Change]:
    for provider in sorted({*before.overrides, *after.overrides}):
        was, now = before.overrides.get(provider, {}), after.overrides.get(provider, {})
        for key in sorted(was.keys() | now.keys()):
            if was.get(key) != now.get(key):
                text = say(
                    "changed: hosts of {provider} get {action} instead of {before}",
                    provider=provider,
                    action=now.get(key, key),
                    before=was.get(key, key),
                )
                yield Change("warning", f"overrides.{provider}.{key}", text)


def _reach(before: NetworkConfig, after: NetworkConfig) -> Iterator[Change]:
    reached = before.ssh.reach()
    for one in after.ssh.allowed_networks:
        if not reached.covers(parse_network(one)):
            yield Change(
                "danger", "ssh.allowed_networks", say("new: terminals in {network} may be contacted", network=one)
            )
    if gone := _only_in(before.ssh.allowed_networks, after.ssh.allowed_networks):
        yield Change(
            "info", "ssh.allowed_networks", say("removed from ssh.allowed_networks: {networks}", networks=listed(gone))
        )
    was, now = ({one.address: one for one in side.concentrators} for side in (before, after))
    for address in sorted(was.keys() - now.keys()):
        text = say("removed: {address} is no longer protected as a concentrator", address=address)
        yield Change("danger", "concentrators", text)
    for address in sorted(now.keys() - was.keys()):
        text = say("new: {address} is protected as a concentrator", address=address)
        yield Change("info", "concentrators", text)
    for address in sorted(was.keys() & now.keys()):
        for path, old_value, new_value in differences(was[address], now[address]):
            lost = path == "name" and was[address].name is not None  # hosts are protected by that name as well
            yield Change(
                "danger" if lost else "info",
                f"concentrators.{path}",
                say(
                    "changed: {path} of concentrator {address}: {before} -> {after}",
                    path=path,
                    address=address,
                    before=old_value,
                    after=new_value,
                ),
            )
    modes = before.compatibility.mode, after.compatibility.mode
    if modes[0] != modes[1]:
        between = " -> ".join(modes)
        if _STRICTNESS.index(modes[1]) < _STRICTNESS.index(modes[0]):
            text = say("changed: compatibility.mode: {modes}, fewer systems are kept out", modes=between)
            yield Change("danger", "compatibility.mode", text)
        else:
            text = say("changed: compatibility.mode: {modes}, more systems are kept out", modes=between)
            yield Change("info", "compatibility.mode", text)
