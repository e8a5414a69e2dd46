"""Puts the parts together: state, configuration, inventory, SSH, and the context of a run. Used by the
composition roots only: `daemon`, and of the commands `program`, `commands` and `parts`. Nobody else is given an Installation."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from contracts.config import NetworkConfig
from contracts.document import Document
from contracts.web_proxy import LOGINS_FILE
from runtime.actions.registry import registered
from runtime.adapters import assets
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.inventory import open_inventory
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.meta import agent_id
from runtime.adapters.state.reading import READABLE, ReadOnlyState, UnreadableState
from runtime.adapters.state.runs import reap
from runtime.adapters.state.store import State
from runtime.domain.catalogue import Catalogue
from runtime.domain.errors import RunError
from runtime.domain.model import Allow, Verdict
from runtime.domain.pipeline import RunPlan
from runtime.domain.ports import Clock, Inventory
from runtime.domain.time.clocks import Anchor
from runtime.engine import gates
from runtime.engine.stop import Stop
from runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from runtime.adapters.control_plane.http import HttpControlPlane
    from runtime.adapters.state.clock_evidence import ClockJudge
    from runtime.adapters.web_proxies import WebProxies
    from runtime.engine.run_context import RunContext


class SystemClock:
    """The machine's clocks."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Installation:
    """This proxy as its settings describe it. Parts are made when first asked for, so that looking at one costs only that one."""

    def __init__(
        self, settings: RuntimeSettings, clock: Clock | None = None, *, reading: bool = False, utc: bool = False
    ) -> None:
        """``reading``: for commands that look at the local state and go on where it cannot be written. ``utc``: people read times
        in UTC, not in the network's zone."""
        self.settings = settings
        self._utc = utc
        self._reading = reading
        self.clock = clock or SystemClock()

    @cached_property
    def known(self) -> Catalogue:
        """Raises DataFault."""
        actions = registered()
        return Catalogue(actions, self.assets.providers, self.assets.minimums)

    @cached_property
    def assets(self) -> assets.Assets:
        return assets.load(assets.find_root(), registered().names)

    @cached_property
    def state(self) -> State:
        """Opened once; runs whose process died are closed on the way in. Raises StateUnavailable."""
        folder = self.settings.data_path
        try:
            state = State(folder, now=self.clock.now())
        except StateUnavailable as error:
            if not self._reading or error.reason not in READABLE:
                raise
            return ReadOnlyState(folder, error)
        try:
            reap(state, self.clock.now())
        except StateUnavailable as error:
            if not self._reading:
                state.close()
                raise
            state.trouble = error
        return state

    @cached_property
    def state_or_stand_in(self) -> State:
        """The state for what must work without it: where it cannot be opened, one that raises why at each use."""
        try:
            return self.state
        except StateUnavailable as error:
            return UnreadableState(self.settings.data_path, error)

    @property
    def opened(self) -> State | None:
        """The state, if anything has asked for it."""
        return self.__dict__.get("state") or self.__dict__.get("state_or_stand_in")

    @property
    def trouble(self) -> StateUnavailable | None:
        """Why a command that only reads shows what was recorded before; None when all is well, or nothing was read."""
        return self.opened.trouble if self.opened else None

    @cached_property
    def store(self) -> ConfigStore:
        return ConfigStore(self.settings.config_path)

    @cached_property
    def agent_id(self) -> str:
        return agent_id(self.state, self.settings.agent_id)

    @cached_property
    def clock_judge(self) -> ClockJudge:
        """Raises StateUnavailable."""
        from runtime.adapters.build import read_build
        from runtime.adapters.state.clock_evidence import ClockJudge

        build = read_build(assets.find_root())
        return ClockJudge(self.state, self.clock, build.made_at if build else None, self.zone)

    @cached_property
    def zone(self) -> dt.tzinfo:
        """In which people read times: the network's time zone; UTC where that is asked for, or no configuration can be read."""
        if self._utc:
            return dt.UTC
        try:
            return ZoneInfo(self.document().config.timezone)
        except RunError:
            return dt.UTC

    def document(self) -> Document:
        """The last valid configuration. Raises NoConfiguration."""
        return self.store.load().document

    @property
    def plane(self) -> HttpControlPlane:
        from runtime.adapters.control_plane.http import (
            HttpControlPlane,  # its HTTP client would slow every run's start down
        )

        settings = self.settings
        return HttpControlPlane(
            url=settings.config_url,
            network=settings.network,
            token_file=settings.token_file,
            token=settings.token,
            ca_path=settings.ca_path,
            insecure=settings.insecure,
            web_proxies=self.web_proxies,
            base=settings.channel_base,
        )

    @property
    def web_proxies(self) -> WebProxies:
        from runtime.adapters.web_proxies import WebProxies

        return WebProxies(self.settings.web_proxies, self.settings.config_path / LOGINS_FILE)

    def inventory(self, config: NetworkConfig, *, within: float | None = None) -> Inventory:
        """``within``: seconds for a reading, where the caller has no more."""
        return open_inventory(config, self.known.providers, within=within, web_proxies=self.web_proxies)

    def context(self, plan: RunPlan, config: NetworkConfig, stop: Stop) -> RunContext:
        """Everything that one run shares between its hosts."""
        from runtime.adapters.presence.watch import NetworkWatch
        from runtime.adapters.ssh.remote import SshRemote
        from runtime.adapters.state.hosts import SqlHostBook
        from runtime.adapters.state.identities import SqlIdentities
        from runtime.adapters.state.ledger import SqlLedger
        from runtime.adapters.state.locks import FileLocks
        from runtime.engine.run_context import RunContext
        from runtime.engine.terminal import Terminals

        busy: Mapping[str, str] = {name: provider.busy_check for name, provider in self.known.providers.items()}
        remote = SshRemote(config.ssh, config.credentials, book=SqlHostBook(self.state, self.clock))
        watch = NetworkWatch(config.ssh.allowed_networks)
        return RunContext(
            plan=plan,
            policy=gates.policy(config, self.known.providers, self.assets.rows),
            locks=FileLocks(self.settings.data_path, self.clock),
            ledger=SqlLedger(self.state, self.clock),
            clock=self.clock,
            stop=stop,
            anchor=Anchor.take(self.clock),
            identities=SqlIdentities(self.state, self.clock),
            drivers={"terminal": Terminals(remote, watch, busy, config.ssh.command_timeout)},
            host_deadline=config.ssh.host_deadline,
            connect_attempts=config.ssh.connect_attempts,
            lease=self._lease if plan.info.scheduled else Allow,
        )

    def _lease(self) -> Verdict:
        """As the daemon noted it last."""
        from runtime.adapters.boot import steady_time
        from runtime.adapters.state.schedule_lease import read_standing
        from runtime.domain.schedule_lease import verdict

        return verdict(read_standing(self.state), steady_time())

    def close(self) -> None:
        if "state" in self.__dict__:
            self.state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
