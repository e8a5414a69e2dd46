"""Gives each command the parts that it works with, made from the proxy's settings when they are first needed.

Besides `commands` and `program` the only module of this room that knows :class:`runtime.wiring.Installation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from contracts.text import say

if TYPE_CHECKING:
    from runtime.cli.crowd import Crowds
    from runtime.cli.doctor import Look
    from runtime.cli.inventory import HostsParts
    from runtime.cli.run_command import RunParts
    from runtime.cli.schedule import ScheduleParts
    from runtime.cli.schedule_lease import LeaseLine
    from runtime.wiring import Installation


def run_parts(installation: Installation) -> RunParts:
    from runtime.cli.run_command import RunParts

    return RunParts(
        clock=installation.clock,
        settings=installation.settings,
        store=installation.store,
        known=installation.known,
        state=lambda: installation.state,
        judge=lambda: installation.clock_judge,
        context=installation.context,
        inventory=installation.inventory,
        zone=lambda: installation.zone,
    )


def hosts_parts(installation: Installation) -> HostsParts:
    from runtime.cli.inventory import HostsParts

    return HostsParts(
        config=installation.document().config,
        known=installation.known,
        rows=installation.assets.rows,
        inventory=installation.inventory,
        state=lambda: installation.state,
    )


def schedule_parts(installation: Installation) -> ScheduleParts:
    from runtime.cli.schedule import ScheduleParts

    return ScheduleParts(
        config=installation.document().config,
        known=installation.known,
        rows=installation.assets.rows,
        now=installation.clock.now(),
        agent_id=installation.agent_id,
        inventory=installation.inventory,
        crowds=crowds(installation),
        lease=_lease(installation),
    )


def _lease(installation: Installation) -> LeaseLine | None:
    """A missing local state is not created."""
    from runtime.adapters.boot import steady_time
    from runtime.adapters.state.database import FILE
    from runtime.adapters.state.schedule_lease import read_standing
    from runtime.cli.schedule_lease import lease_line

    if not (installation.settings.data_path / FILE).exists():
        return None
    return lease_line(read_standing(installation.state), steady_time(), installation.zone)


def crowds(installation: Installation) -> Crowds:
    """Nothing is read before it is asked for, and a missing local state is not created."""
    from runtime.adapters.state.database import FILE
    from runtime.cli.crowd import Crowds

    has_state = (installation.settings.data_path / FILE).exists()
    return Crowds(
        clock=installation.clock,
        state=(lambda: installation.state) if has_state else None,
        agent_id=installation.settings.agent_id,
        zone=lambda: installation.zone,
    )


def looks(installation: Installation) -> Sequence[Look]:
    """What `doctor` looks at, in its order. Each part is made inside its look, so that one that fails spoils no other."""
    from runtime.cli import doctor_checks as checks
    from runtime.cli.doctor import Look

    i, clock, settings = installation, installation.clock, installation.settings
    return (
        Look(say("image"), lambda: checks.image(i.known, i.assets)),
        Look(say("build"), checks.build),
        Look(say("deployment"), lambda: checks.deployment(settings, clock)),
        Look(say("configuration"), lambda: checks.configuration(i.store, i.known, clock, i.zone, crowds(i))),
        Look(say("config room"), lambda: checks.config_room(settings)),
        Look(
            say("control plane"),
            lambda: checks.control_plane(i.plane, clock, lambda: i.clock_judge),
        ),
        Look(say("clock"), lambda: checks.right_time(i.clock_judge, i.zone)),
        Look(say("state"), lambda: checks.local_state(i.state, clock)),
        Look(say("daemon"), lambda: checks.daemon(i.state, clock)),
        Look(say("schedule"), lambda: checks.schedule_lease(i.state, i.zone)),
        Look(say("inventory"), lambda: checks.inventory(i.store, i.inventory, lambda: i.state, i.zone)),
    )
