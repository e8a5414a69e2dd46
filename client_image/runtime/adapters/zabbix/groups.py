"""The host groups of a network, those nested in them included. Called by the Zabbix inventory."""

from __future__ import annotations

from contracts.text import one_of, say
from contracts.visible import quoted
from runtime.adapters.zabbix.api import Api
from runtime.adapters.zabbix.rows import Group
from runtime.domain.errors import InventoryUnavailable


def read_groups(api: Api, names: tuple[str, ...]) -> dict[str, str]:
    """Id -> name. Raises InventoryUnavailable for a name that the token does not see: its hosts would be absent in silence."""
    asked = {"output": ["groupid", "name"], "search": {"name": list(names)}, "startSearch": True, "searchByAny": True}
    # The search goes without case and finds ACME2 for ACME as well; what belongs to the network is decided here.
    found = {
        group.id: group.name
        for group in api.get("hostgroup.get", Group, **asked)
        if any(group.name == name or group.name.startswith(f"{name}/") for name in names)
    }
    known = set(found.values())
    if unknown := [name for name in names if name not in known]:
        raise InventoryUnavailable(
            "unknown_group",
            say("Zabbix shows no host group named {names} to this token", names=one_of([*map(quoted, unknown)])),
            say(
                "correct inventory.groups (case counts; empty means one group named as the network), "
                "or let the token's user read the group"
            ),
        )
    return found


def unseen_between(groups: dict[str, str], names: tuple[str, ...]) -> str:
    """A notice about groups between the network's own and a nested one that are not shown, empty when there are none.

    Zabbix does not need them to exist; where they do, the token may not read them, and their hosts are absent.
    """
    known = set(groups.values())
    unseen = {
        "/".join(parts[:end])
        for name in known
        for parts in (name.split("/"),)
        for end in range(1, len(parts))
        if any("/".join(parts[:end]).startswith(f"{root}/") for root in names)
    } - known
    if not unseen:
        return ""
    return say(
        "Zabbix shows groups nested in {groups}, but not these to this token: if they exist, their hosts are "
        "not listed, so they neither run nor protect; let the token's user read them",
        groups=", ".join(sorted(unseen)),
    )
