"""What a valid document says about actions, held against the catalogue: names, parameters, overrides, and what jobs promise.

One check for the control plane (`config validate`, `config set`) and the proxy (`config check`, doctor, daemon). How parameters
are checked is handed in: the control plane makes models from the catalogue's schemas, the proxy has the declared ones. Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, cast
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from contracts.action_names import Contradiction, default_at, merged, replacement_of, require_no_stronger, settings_of
from contracts.catalogue import ActionEntry, Catalogue, near
from contracts.config import STRICT, ActionSettings, Job, NetworkConfig
from contracts.document import REQUIRED, Problem, problems_of
from contracts.parameters import model_of
from contracts.promises import unmet
from contracts.text import joined, say
from contracts.visible import quoted
from contracts.windows import Window

Level = Literal["ok", "info", "warning", "danger", "error"]
Models = Callable[[str], type[BaseModel]]
Answer = TypeVar("Answer")
_ADVISED = 100  # unknown names for which near ones are looked for


@dataclass(frozen=True, slots=True)
class Finding:
    """``path`` is dotted; a job is named by its id: schedule.night. ``job``: the one that the finding is about; ``stops``: it is
    not started because of it."""

    level: Level
    path: str
    text: str
    job: str = ""
    stops: bool = False

    def __str__(self) -> str:
        return joined((self.path, self.text), ": ")


@dataclass(frozen=True, slots=True)
class Check:
    """``unknown``: how bad a name is that the catalogue does not have; a newer proxy may know it. ``now``: aware.
    ``strict``: what a person writes, as in :func:`contracts.document.read_document`."""

    config: NetworkConfig
    catalogue: Catalogue
    now: dt.datetime
    unknown: Level = "error"
    models: Models | None = None
    strict: bool = False
    _made: dict[str, type[BaseModel]] = field(default_factory=dict)
    _answers: dict[Hashable, Any] = field(default_factory=dict)
    _advised: set[str] = field(default_factory=set)

    def findings(self) -> Iterator[Finding]:
        """Everything, in the order of the document's keys: actions, overrides, providers, schedule."""
        yield from self._settings()
        yield from self._overrides()
        config = self.config
        for name in sorted({*config.rollout, *config.overrides, config.provider} - self.catalogue.providers.keys()):
            yield Finding("warning", "provider", say("{name} is not a provider that this version knows", name=name))
        for job in config.schedule:
            yield from self._job(job)

    def _once(self, question: Hashable, answer: Callable[[], Answer]) -> Answer:
        """Thousands of jobs ask the same of the same document. A Contradiction is remembered as well."""
        if question not in self._answers:
            try:
                self._answers[question] = answer()
            except Contradiction as found:
                self._answers[question] = found
        known: Any = self._answers[question]
        if isinstance(known, Contradiction):
            raise known
        return cast("Answer", known)

    def _names(self, provider: str | None = None) -> Mapping[str, str]:
        return self._once(("names", provider), lambda: self.catalogue.names(provider))

    def _model(self, action: str) -> type[BaseModel]:
        if action not in self._made:
            made = self.models(action) if self.models else model_of(self.catalogue.actions[action].parameters, action)
            self._made[action] = made
        return self._made[action]

    def _said(self, action: str, entry: ActionEntry) -> ActionSettings | None:
        return self._once(("said", action), lambda: settings_of(action, entry.adds, self.config, self._names()))

    def _values(self, action: str, entry: ActionEntry) -> dict[str, Any]:
        """What the network's document gives to an action. Raises Contradiction."""
        said = self._said(action, entry)
        given = {name: default_at(self.config, path) for name, path in entry.defaults.items()}
        return {**given, **(said.params if said else {})}

    def _checked(
        self, action: str, entry: ActionEntry, own: Mapping[str, Any]
    ) -> tuple[BaseModel | None, tuple[Problem, ...]]:
        """The parameters of the network with a job's ``own``, and what is wrong with them. Raises Contradiction."""

        def validated() -> tuple[BaseModel | None, tuple[Problem, ...]]:
            values = merged(self._values(action, entry), own, entry.adds)
            try:
                return self._model(action).model_validate(values, context=STRICT if self.strict else None), ()
            except ValidationError as error:
                return None, problems_of(error)

        return self._once(("checked", action, repr(own)), validated)

    def _settings(self) -> Iterator[Finding]:
        names = self._names()
        first: dict[str, str] = {}  # action -> the key by which the document speaks of it
        for key in self.config.actions:
            if key in names:
                first.setdefault(names[key], key)
            else:
                yield self._unknown(f"actions.{key}", key, names, say("this entry has no effect, and protects no host"))
        for action, key in first.items():
            entry, path = self.catalogue.actions[action], f"actions.{key}"
            try:
                self._values(action, entry)
            except Contradiction as found:
                yield Finding(
                    "error",
                    path,
                    say(
                        "{problem}: no run of {action} starts; {advice}",
                        problem=found.message,
                        action=action,
                        advice=found.advice,
                    ),
                )
                continue
            if not entry.available:
                yield Finding(
                    "warning",
                    path,
                    say("{action} is not available in this version; its parameters are not checked", action=action),
                )
                continue
            for problem in self._checked(action, entry, {})[1]:
                if problem.message == REQUIRED and problem.path.isidentifier():
                    continue  # it may come with the run
                where = f"{path}.params{'.' if problem.path else ''}{problem.path}"
                yield Finding(
                    "error",
                    where,
                    say(
                        "{problem}; runs of {action} with this value are refused",
                        problem=problem.message,
                        action=action,
                    ),
                )

    def _unknown(self, path: str, name: str, names: Mapping[str, str], effect: str) -> Finding:
        if len(self._advised) < _ADVISED:
            self._advised.add(name)
        alike = near(name, names) if name in self._advised else ""
        advice = alike or say("`flageemonitor-run actions` lists every name")
        return Finding(
            self.unknown,
            path,
            say("unknown action {name}: {effect}; {advice}", name=quoted(name), effect=effect, advice=advice),
        )

    def _overrides(self) -> Iterator[Finding]:
        for provider, overrides in self.config.overrides.items():
            names = self._names(provider)
            for key, replacement in overrides.items():
                path = f"overrides.{provider}.{key}"
                if key not in names:
                    yield self._unknown(path, key, names, say("this entry has no effect"))
                elif replacement not in names:
                    yield self._unknown(
                        path,
                        replacement,
                        names,
                        say("no run of {action} on hosts of {provider} starts", action=names[key], provider=provider),
                    )
                elif provider in self.catalogue.providers:
                    try:
                        self._replaced(names[key], provider)
                    except Contradiction as found:
                        text = say(
                            "{problem}: no run of {action} that may meet hosts of {provider} starts; {advice}",
                            problem=found.message,
                            action=names[key],
                            provider=provider,
                            advice=found.advice,
                        )
                        yield Finding("error", path, text)

    def _replaced(self, action: str, provider: str) -> str:
        """What runs on a provider's hosts. Raises Contradiction for an override that cannot be taken."""
        shipped = self.catalogue.providers[provider].overrides if provider in self.catalogue.providers else {}
        names = self._names(provider)
        new = self._once(
            ("replaced", action, provider), lambda: replacement_of(action, provider, self.config, names, shipped)
        )
        entries = self.catalogue.actions
        if new in entries:
            require_no_stronger(provider, (action, entries[action].effect), (new, entries[new].effect))
        return new

    def _job(self, job: Job) -> Iterator[Finding]:
        """A job that is switched off is only warned of."""
        for finding in self._job_on(job):
            level = finding.level if job.enabled or finding.level != "error" else "warning"
            yield replace(finding, level=level, job=job.id)

    def _job_on(self, job: Job) -> Iterator[Finding]:
        path, names = f"schedule.{job.id}", self._names(job.selector.provider)
        action = names.get(job.action)
        if action is None:
            yield replace(self._unknown(path, job.action, names, say("this job is not started")), stops=True)
            return
        entry = self.catalogue.actions[action]
        if not entry.available:
            yield Finding(
                "warning",
                path,
                say("{action} is not available in this version; this job is not started", action=action),
                stops=True,
            )
            return
        try:
            said = self._said(action, entry)
            running = self._replaced(action, job.selector.provider or self.config.provider)
        except Contradiction:
            return  # told where it is written
        if said is not None and not said.enabled:
            yield Finding(
                "warning",
                path,
                say("{action} is switched off by actions.{action}; this job is not started", action=action),
                stops=True,
            )
            return
        if not job.selector.explicit_for(entry.effect):
            if entry.effect == "disrupt":
                text = say(
                    "{action} disrupts terminals and needs explicit targets: name them in its selector, or all: true",
                    action=action,
                )
            else:
                text = say(
                    "{action} changes terminals and needs explicit targets: name them in its selector, or all: true",
                    action=action,
                )
            yield Finding("error", path, say("{problem}; this job is not started", problem=text), stops=True)
        yield from self._job_parameters(job, action, entry)
        if running in self.catalogue.actions:
            yield from self._promises(job, running)

    def _job_parameters(self, job: Job, action: str, entry: ActionEntry) -> Iterator[Finding]:
        others = False
        for problem in self._checked(action, entry, job.params)[1]:
            if problem.path.partition(".")[0].partition("[")[0] in job.params:
                where = f"schedule.{job.id}.params.{problem.path}"
                yield Finding(
                    "error", where, say("{problem}; this job is not started", problem=problem.message), stops=True
                )
            elif problem.message == REQUIRED:
                text = say(
                    "{action} needs the parameter {parameter}; this job is not started",
                    action=action,
                    parameter=problem.path,
                )
                yield Finding("error", f"schedule.{job.id}", text, stops=True)
            else:
                others = True
        if others:
            text = say("what actions.{action} says is wrong; this job is not started", action=action)
            yield Finding("error", f"schedule.{job.id}", text, stops=True)

    def _promises(self, job: Job, action: str) -> Iterator[Finding]:
        """``action``: what really runs, on hosts of the job's or the network's provider."""
        entry = self.catalogue.actions[action]
        try:
            params, _ = self._checked(action, entry, job.params)
        except Contradiction:
            return
        if params is None:
            return
        windows: tuple[Window, ...] | None = getattr(params, entry.windows) if entry.windows else None
        # All of a job that counts for when it may run.
        times = (job.cron, job.timezone, job.not_after, job.jitter, job.selector.stores)
        judged = self._once(
            ("unmet", action, repr(job.params) if windows else "", times),
            lambda: tuple(
                unmet(
                    job,
                    zone=ZoneInfo(self.config.timezone),
                    effect=entry.effect,
                    windows=windows,
                    freezes=self.config.freeze,
                    now=self.now,
                )
            ),
        )
        for found in judged:
            yield Finding("error" if found.always else "warning", f"schedule.{job.id}", found.text)
