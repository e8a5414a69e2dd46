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

Level = Literal["danger", "warning", "info"]
_ORDER: tuple[Level, ...] = ("danger", "warning", "info")
_LEVEL: Mapping[str, Level] = {"disrupt": "danger", "change": "warning", "read": "info"}
_STRICTNESS = ("off", "warn", "enforce")
# Parts that have sentences of their own; every other difference is told by its path.
_SPOKEN = {"schedule", "actions", "rollout", "freeze", "overrides"}
_WIDER = {
    "inventory": "other hosts may be selected",
    "provider": "hosts without a tag belong to another software house",
    "timezone": "every time without a zone of its own moves",
    "compatibility.allow_loosening": "a run by hand may choose a weaker mode",
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
        yield Change("warning", "", f"first: the first document of network {after.network}")
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
        wider = next((text for key, text in _WIDER.items() if path == key or path.startswith(f"{key}.")), "")
        yield Change(
            "danger" if wider else "info", path, f"changed: {path}: {was} -> {now}{f': {wider}' if wider else ''}"
        )


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
            yield Change(level, path, f"new: {text}")
        elif (before := old.told(*was[key])) != text:
            yield Change(level, path, f"changed: {text}; before: {before}")
        elif was[key][0] != job:
            parts = ", ".join(path for path, _, _ in differences(was[key][0], job))
            yield Change("info", path, f"changed: {parts} of job {key}")
    for key in sorted(was.keys() - now.keys()):
        yield Change("info", f"schedule.{key}", f"removed: {old.told(*was[key])}")


def _actions(old: _Sides, new: _Sides) -> Iterator[Change]:
    for action, entry in new.catalogue.actions.items():
        if not entry.available:
            continue
        path, was, now = f"actions.{action}", old.settings(action), new.settings(action)
        if was.enabled != now.enabled:
            level: Level = _LEVEL[entry.effect] if now.enabled else "info"
            yield Change(level, path, f"changed: {action} is switched {'on' if now.enabled else 'off'}")
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
            yield Change(_LEVEL[entry.effect], path, f"changed: window of {action}: {texts[0]} -> {texts[1]}")
        else:
            harmless = name in declared and name not in secrets
            values = f"{shown(name, before)} -> {shown(name, after)}" if harmless else "a new value"
            yield Change("warning", path, f"changed: {name} of {action}: {values}")


def _protection(path: str, what: str, before: Iterable[str], after: Iterable[str]) -> Iterator[Change]:
    lost, won = _only_in(before, after), _only_in(after, before)
    if lost:
        yield Change("danger", path, f"removed: {listed(lost)} is no longer protected from {what} ({path})")
    if won:
        yield Change("info", path, f"new: {listed(won)} is protected from {what} ({path})")


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
                pilots = f" and {len(now.pilot)} pilot hosts" if now.pilot else ""
                yield Change("info", path, f"rollout of {name}: {after.normalize():f} % of its hosts{pilots}")
            continue
        if before != after:
            more = after > before
            text = f"rollout of {name}: {before.normalize():f} % -> {after.normalize():f} %"
            yield Change("danger" if more else "info", path, f"changed: {text}, {'more' if more else 'fewer'} hosts")
        if was.salt != now.salt:
            yield Change("danger", f"{path}.salt", f"changed: the salt of the rollout of {name}: other hosts are drawn")
        yield from _protection(f"{path}.never", "every action", was.never, now.never)
        if added := _only_in(now.pilot, was.pilot):
            yield Change("warning", f"{path}.pilot", f"new: pilot hosts of {name}: {listed(added)}")
        if gone := _only_in(was.pilot, now.pilot):
            yield Change("info", f"{path}.pilot", f"removed: pilot hosts of {name}: {listed(gone)}")


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
        yield Change("danger", f"freeze.{key}", f"removed: freeze {key} ({_frozen(was[key])})")
    for key, freeze in now.items():
        if key not in was:
            yield Change("info", f"freeze.{key}", f"new: freeze {key} ({_frozen(freeze)})")
        elif was[key] != freeze:
            text = f"changed: freeze {key}: {_frozen(was[key])} -> {_frozen(freeze)}"
            yield Change("danger", f"freeze.{key}", text)


def _frozen(freeze: FreezeWindow) -> str:
    days = f"{','.join(freeze.weekdays)} " if freeze.weekdays else ""
    if freeze.start is not None:
        when = f"{freeze.start:%Y-%m-%d %H:%M} to {freeze.end:%Y-%m-%d %H:%M}"
    else:
        when = f"{days}{freeze.from_time:%H:%M}-{freeze.to_time:%H:%M}"
    stores = f", store {listed(freeze.stores)}" if freeze.stores else ""
    zone = f", {freeze.timezone}" if freeze.timezone else ""
    return f"{when}{stores}{zone}, holds {' and '.join(freeze.effects)}"


def _overrides(before: NetworkConfig, after: NetworkConfig) -> Iterator[Change]:
    for provider in sorted({*before.overrides, *after.overrides}):
        was, now = before.overrides.get(provider, {}), after.overrides.get(provider, {})
        for key in sorted(was.keys() | now.keys()):
            if was.get(key) != now.get(key):
                text = f"changed: hosts of {provider} get {now.get(key, key)} instead of {was.get(key, key)}"
                yield Change("warning", f"overrides.{provider}.{key}", text)


def _reach(before: NetworkConfig, after: NetworkConfig) -> Iterator[Change]:
    reached = before.ssh.reach()
    for one in after.ssh.allowed_networks:
        if not reached.covers(parse_network(one)):
            yield Change("danger", "ssh.allowed_networks", f"new: terminals in {one} may be contacted")
    if gone := _only_in(before.ssh.allowed_networks, after.ssh.allowed_networks):
        yield Change("info", "ssh.allowed_networks", f"removed from ssh.allowed_networks: {listed(gone)}")
    was, now = ({one.address: one for one in side.concentrators} for side in (before, after))
    for address in sorted(was.keys() - now.keys()):
        yield Change("danger", "concentrators", f"removed: {address} is no longer protected as a concentrator")
    for address in sorted(now.keys() - was.keys()):
        yield Change("info", "concentrators", f"new: {address} is protected as a concentrator")
    for address in sorted(was.keys() & now.keys()):
        for path, old_value, new_value in differences(was[address], now[address]):
            lost = path == "name" and was[address].name is not None  # hosts are protected by that name as well
            yield Change(
                "danger" if lost else "info",
                f"concentrators.{path}",
                f"changed: {path} of concentrator {address}: {old_value} -> {new_value}",
            )
    modes = before.compatibility.mode, after.compatibility.mode
    if modes[0] != modes[1]:
        looser = _STRICTNESS.index(modes[1]) < _STRICTNESS.index(modes[0])
        text = f"changed: compatibility.mode: {modes[0]} -> {modes[1]}, {'fewer' if looser else 'more'} systems are kept out"
        yield Change("danger" if looser else "info", "compatibility.mode", text)
