"""What the API's answers must look like; checked before anything is believed. Everything comes as text, numbers too."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from contracts.secret import Secret

_AGENT = 1


class Row(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Group(Row):
    id: str = Field(alias="groupid")
    name: str


class Tag(Row):
    tag: str
    value: str


class Interface(Row):
    """``available``: 0 unknown, 1 available, 2 unavailable; a property of the interface since 5.4."""

    type: int
    main: int
    useip: int
    ip: str
    dns: str
    port: str
    available: int


class TemplateLink(Row):
    id: str = Field(alias="templateid")


class Template(TemplateLink):
    host: str
    name: str
    parents: tuple[TemplateLink, ...] = Field(alias="parentTemplates")


class HostLinks(Row):
    id: str = Field(alias="hostid")
    templates: tuple[TemplateLink, ...] = Field(alias="parentTemplates")


class GlobalMacro(Row):
    """``value`` is absent for a secret; ``type`` 2 is a path in a vault."""

    macro: str
    value: str | None = None
    type: int = 0

    @property
    def text(self) -> str | None:
        return self.value if self.type == 0 else None


class Macro(GlobalMacro):
    host_id: str = Field(alias="hostid")


class InterfaceOwner(Row):
    host_id: str = Field(alias="hostid")


class Notes(Row):
    notes: Secret


class TriggerHost(Row):
    id: str = Field(alias="hostid")


class Trigger(Row):
    id: str = Field(alias="triggerid")
    description: str
    value: int
    hosts: tuple[TriggerHost, ...]


class HostRow(Row):
    """``groups`` is called hostgroups since 6.2. ``templates``: None when not asked for; ``inventory``: an empty list if off."""

    id: str = Field(alias="hostid")
    host: str
    name: str
    status: int
    maintenance_status: int
    proxy: str = Field("0", validation_alias=AliasChoices("proxyid", "proxy_hostid"))
    interfaces: tuple[Interface, ...]
    tags: tuple[Tag, ...]
    groups: tuple[Group, ...] = Field(validation_alias=AliasChoices("hostgroups", "groups"))
    templates: tuple[TemplateLink, ...] | None = Field(None, alias="parentTemplates")
    inventory: Notes | tuple[()] = ()

    @property
    def agent(self) -> Interface | None:
        """The main interface of the agent, whatever stands first in the list (W-56)."""
        return next((one for one in self.interfaces if one.type == _AGENT and one.main == 1), None)
