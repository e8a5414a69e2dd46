"""User macros in the addresses of interfaces, as Zabbix resolves them: host, then its templates level by level, then global.

Called by the Zabbix inventory. A value that is secret, or that the token may not see, stays unknown: that is a problem of the
host, never an address that is left out. Only a value that the host itself has is sure: a template that the token may not read
could override every level below it, so such a value protects, and nothing is connected to by it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from runtime.adapters.zabbix.api import Api
from runtime.adapters.zabbix.rows import GlobalMacro, Macro, Template

_MACRO = re.compile(r"\{\$[A-Z0-9_.]+(?::[^{}]*)?\}")


@dataclass(frozen=True, slots=True)
class Value:
    """``text``: None when nobody knows it. ``own``: the host itself has it."""

    text: str | None
    own: bool = False


@dataclass(frozen=True, slots=True)
class Macros:
    """``of``: macros by host or template id; ``parents``: templates by host or template id."""

    of: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    everywhere: Mapping[str, str | None] = field(default_factory=dict)

    def value(self, host_id: str, text: str) -> Value:
        """What a text with one macro or several means for a host."""
        own = True
        known = True

        def one(match: re.Match[str]) -> str:
            nonlocal own, known
            found = self._look_up(host_id, match[0])
            own, known = own and found.own, known and found.text is not None
            return found.text or ""

        resolved = _MACRO.sub(one, text)
        return Value(resolved if known and not is_macro(resolved) else None, own)

    def _look_up(self, host_id: str, macro: str) -> Value:
        plain = re.sub(r":[^{}]*\}$", "}", macro)
        for name in dict.fromkeys((macro, plain)):  # a macro with a context falls back to the one without
            level: tuple[str, ...] = (host_id,)
            seen: set[str] = set()
            while level:
                for one in level:
                    if name in self.of.get(one, {}):
                        return Value(self.of[one][name], one == host_id)
                seen.update(level)
                level = tuple(dict.fromkeys(up for one in level for up in self.parents.get(one, ()) if up not in seen))
            if name in self.everywhere:
                return Value(self.everywhere[name])
        return Value(None)


def is_macro(text: str) -> bool:
    return "{$" in text or text.startswith("{")


def read_macros(api: Api, linked: Mapping[str, Collection[str]]) -> Macros:
    """Everything that decides the macros of these hosts. ``linked``: host id -> ids of the templates it is linked to."""
    asked = {"output": ["templateid", "host", "name"], "selectParentTemplates": ["templateid"]}
    parents = {one.id: tuple(up.id for up in one.parents) for one in api.get("template.get", Template, **asked)}
    fields = ["hostid", "macro", "value", "type"]
    of: dict[str, dict[str, str | None]] = {}
    for row in api.get("usermacro.get", Macro, output=fields, hostids=sorted({*linked, *parents})):
        of.setdefault(row.host_id, {})[row.macro] = row.text
    everywhere = {
        row.macro: row.text for row in api.get("usermacro.get", GlobalMacro, output=fields[1:], globalmacro=True)
    }
    return Macros(of, {**parents, **{host: tuple(sorted(up, key=int)) for host, up in linked.items()}}, everywhere)
