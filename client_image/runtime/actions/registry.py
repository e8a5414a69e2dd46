"""Every action there is, by name: what is not listed here cannot run. Handed to the composition roots."""

from __future__ import annotations

from runtime.actions import (
    diagnose_env,
    shutdown_endpoint,
    test_endpoint_connection,
    test_endpoint_privilege,
    update_endpoint_timezone,
)
from runtime.actions.announced import ANNOUNCED
from runtime.domain.action import Action
from runtime.domain.catalogue import Actions, build

ACTIONS: tuple[Action, ...] = (
    diagnose_env.ACTION,
    test_endpoint_connection.ACTION,
    test_endpoint_privilege.ACTION,
    update_endpoint_timezone.ACTION,
    shutdown_endpoint.ACTION,
    *ANNOUNCED,
)


def registered() -> Actions:
    return build(ACTIONS)
