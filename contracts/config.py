"""The network's configuration document, schema version 2: one typed description with defaults.

Read through :mod:`contracts.document`, which knows strict (server) and lenient (proxy) reading and first-generation
documents. Times of day and zone-less instants are wall time in :attr:`NetworkConfig.timezone`; durations are seconds.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from contracts.address import parse_address, parse_network
from contracts.cron import cron_text
from contracts.image_reference import parse_reference
from contracts.networks import Networks, networks_of
from contracts.secret import Secret
from contracts.text import say, some_of
from contracts.visible import quoted
from contracts.zones import require_zone

Mode = Literal["off", "warn", "enforce"]
Effect = Literal["read", "change", "disrupt"]
Role = Literal["checkout", "self_checkout", "price_check", "concentrator", "proxy", "other"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Level = Literal["L1", "L2", "L3"]

# The context of validation where a person writes a document: what only some machines know is an error there.
STRICT = {"strict": True}
ZONEINFO = "/usr/share/zoneinfo/"
_SHOWN = 20
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def _zone(name: str, info: ValidationInfo) -> str:
    return require_zone(name, listed=info.context == STRICT)


def _zone_file(value: str) -> str:
    path = value if value.startswith("/") else ZONEINFO + value
    if not re.fullmatch(re.escape(ZONEINFO) + r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", path):
        raise ValueError(say("must be a zone name or a file below {folder}", folder=ZONEINFO))
    return path


def _host_or_address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?", value):
        raise ValueError(say("must be a host name or an IP address"))
    return value


def _image(text: str, info: ValidationInfo) -> str:
    # Where a document is in force its proxy has an image already, so a stored one with another text stays readable.
    if info.context == STRICT:
        parse_reference(text)
    return text


def _network(text: str) -> str:
    return str(parse_network(text))


def _address(text: str) -> str:
    return str(parse_address(text))


def _wall_time(value: dt.time) -> dt.time:
    if value.tzinfo is not None:
        raise ValueError(say("give the wall time only, for example 23:50; the zone is the document's"))
    return value


def _wall_instant(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is not None:
        raise ValueError(say("give wall time without offset, for example 2026-12-24T18:00; the zone is the document's"))
    return value


def _given_twice(names: Iterable[str]) -> str:
    """Those that are there more than once, the first few of them; empty when all differ."""
    twice = sorted(name for name, number in Counter(names).items() if number > 1)
    return some_of(twice, _SHOWN)


def _versions(text: str) -> str:
    if text.strip() != "*":
        try:
            SpecifierSet(text)
        except InvalidSpecifier as error:
            raise ValueError(say('PEP 440 specifiers are expected, for example ">=18.04,<20", or "*"')) from error
    return text


def _format(name: str, **limits: int) -> WithJsonSchema:
    """A type that plain JSON Schema cannot say, by the name that :mod:`contracts.parameters` knows it by."""
    return WithJsonSchema({"type": "string", "format": name, **limits})


NetworkCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ProviderId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
ActionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ZoneName = Annotated[str, AfterValidator(_zone), _format("time-zone")]
ZoneFile = Annotated[str, AfterValidator(_zone_file), _format("zone-file")]  # a zone's name, or the path of its file
HostOrAddress = Annotated[str, AfterValidator(_host_or_address), _format("host-or-address")]
Address = Annotated[str, AfterValidator(_address), _format("ip-address")]
ImageReference = Annotated[str, AfterValidator(_image)]
Cidr = Annotated[str, AfterValidator(_network), _format("ip-network")]
WallTime = Annotated[dt.time, AfterValidator(_wall_time)]
WallInstant = Annotated[dt.datetime, AfterValidator(_wall_instant)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]
Text = Annotated[str, Field(min_length=1, max_length=255)]
CronText = Annotated[Text, AfterValidator(cron_text), _format("cron", minLength=1, maxLength=255)]
Versions = Annotated[Text, AfterValidator(_versions)]


class Part(BaseModel):
    """Base of every part of the document: frozen, and unknown keys are an error (lenient reading removes them first).

    Validators are built for what is validated, when it is: most parts are only ever validated as part of the whole.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Credential(Part):
    """One way to log in. ``match_*`` say for which hosts it is theirs; empty means every host. The narrowest that fits a host is
    tried first (hosts, then stores, then providers), and a host that is not known yet is shown no other."""

    id: Identifier
    user: Text
    password: Secret | None = None
    private_key: Secret | None = Field(None, description="OpenSSH or PEM text of a private key")
    passphrase: Secret | None = None
    elevation: Literal["auto", "none", "sudo", "su"] = Field(
        "auto", description="how root is reached; auto: root needs nothing, any other user takes sudo"
    )
    elevation_password: Secret | None = Field(None, description="for sudo or su; default: the login password")
    match_providers: tuple[ProviderId, ...] = ()
    match_stores: tuple[int, ...] = ()
    match_hosts: tuple[Text, ...] = Field((), description="host names, compared without regard to case")

    @model_validator(mode="after")
    def _has_a_way_in(self) -> Self:
        if self.password is None and self.private_key is None:
            raise ValueError(say("needs a password or a private_key"))
        return self


class StaticHost(Part):
    """A host of a static inventory. ``credential`` names an entry of ``credentials``."""

    name: Text
    address: Address
    port: Port | None = None
    display_name: str | None = None
    provider: ProviderId | None = None
    role: Role | None = None
    groups: tuple[Text, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    credential: Identifier | None = None


class ZabbixInventory(Part):
    """Hosts come from Zabbix, always bound to the network: ``groups`` (default: the network's code) and the name prefix."""

    kind: Literal["zabbix"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] = Field(
        description="base of the frontend or its api_jsonrpc.php"
    )
    token: Secret
    ca_path: str | None = Field(None, description="private CA bundle, a path inside the container")
    groups: tuple[Text, ...] = Field(
        (), description="host group names; empty: one named as the network; nested groups belong to them"
    )
    exclude_templates: tuple[Text, ...] = Field(
        (), description="names or ids; hosts linked to one are never selected, nor their machines touched"
    )
    timeout: Annotated[float, Field(gt=0, le=300)] = 30.0
    notes_credentials: bool = Field(
        False, description="read user,password[,port] from inventory notes (first generation)"
    )


class StaticInventory(Part):
    kind: Literal["static"]
    hosts: tuple[StaticHost, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if twice := _given_twice(host.name.lower() for host in self.hosts):
            raise ValueError(say("host names given twice: {names}", names=twice))
        return self


Inventory = Annotated[ZabbixInventory | StaticInventory, Field(discriminator="kind")]


class Ssh(Part):
    """How terminals are reached. Only addresses inside ``allowed_networks`` are ever contacted."""

    port: Port = 22
    allowed_networks: tuple[Cidr, ...] = Field(PRIVATE_NETWORKS, min_length=1)
    parallel: Annotated[int, Field(ge=1, le=512)] = 32
    parallel_per_address: Annotated[int, Field(ge=1, le=16)] = 4
    connect_timeout: Annotated[float, Field(gt=0, le=120)] = Field(
        30.0,  # a server that looks up names at two servers that do not answer takes 22 s
        description="seconds for one login; the connection alone may take a third of it, and 10 s at least",
    )
    connect_attempts: Annotated[int, Field(ge=1, le=5)] = Field(
        2,
        description="attempts to connect to one terminal; a silent one is tried again only while no other host waits",
    )
    command_timeout: Annotated[float, Field(gt=0, le=3600)] = Field(
        60.0, description="seconds for one script on a terminal, becoming root included"
    )
    host_deadline: Annotated[float, Field(gt=0, le=7200)] = Field(
        300.0, description="seconds for everything on one terminal: logins with several credentials, scripts, waiting"
    )
    run_deadline: Annotated[float, Field(gt=0, le=86400)] = 3600.0
    output_limit: Annotated[int, Field(ge=4096, le=16_777_216)] = 262_144
    first_use: Literal["pin", "refuse"] = Field("pin", description="what to do with a host whose key is not known yet")
    legacy_algorithms: Literal["remember", "refuse"] = Field(
        "remember", description="reach old servers (SHA-1, DSA, CBC) and remember what each needs, or refuse them"
    )

    def reach(self) -> Networks:
        """The addresses that may be contacted at all. Made by each call, so a caller with many questions keeps it."""
        return networks_of(self.allowed_networks)


class Rollout(Part):
    """Share of a provider's hosts that actions may touch. A share only grows the set: raising it drops nobody."""

    percent: Percent | None = Field(
        None,
        description="default: 0 beside pilots, else the provider's own share (arius 100, others as their file says)",
    )
    salt: str | None = Field(None, description="default: the provider's id; a new salt draws a new order")
    pilot: tuple[Text, ...] = Field((), description="hosts that are always in")
    never: tuple[Text, ...] = Field(
        (), description="never in, by name, visible name, address or network (10.0.0.0/24); wins over pilot"
    )


class MatrixRow(Part):
    """An additional compatibility row; looked up before the rows that the image ships."""

    distro: Identifier
    versions: Versions = Field(description='PEP 440 specifiers, for example ">=18.04,<20"; "*" is any version')
    arch: tuple[Literal["x86_64", "i686", "armv7", "aarch64"], ...]
    level: Level


class Compatibility(Part):
    mode: Mode = "warn"
    allow_loosening: bool = Field(False, description="lets the command line choose a weaker mode than this one")
    rows: tuple[MatrixRow, ...] = ()


class JobSelector(Part):
    """Which hosts a job is for; every given filter must hold."""

    all: bool = Field(
        False, description="required for a job that changes or disrupts and names no host, store or other target"
    )
    stores: tuple[int, ...] = ()
    terminals: tuple[int, ...] = ()
    hosts: tuple[Text, ...] = ()
    addresses: tuple[Address, ...] = ()
    groups: tuple[Text, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    agent_status: Literal[0, 1, 2] | None = None
    provider: ProviderId | None = None

    def explicit_for(self, effect: Effect) -> bool:
        """Whether it says which hosts an action of this effect may touch. A terminal's number alone is in every store, so it does
        not say which machine loses power."""
        terminals = self.terminals if effect != "disrupt" else ()
        places = (self.stores, terminals, self.hosts, self.addresses, self.groups, self.tags)
        return effect == "read" or self.all or any(places)


class Job(Part):
    """One scheduled action. Cron has real crontab semantics on wall time (Sunday is 0 or 7; day OR weekday)."""

    id: Identifier
    action: ActionName
    cron: CronText
    enabled: bool = True
    timezone: ZoneName | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    selector: JobSelector = JobSelector()
    jitter: Annotated[int, Field(ge=0, le=3600)] = 0
    overlap: Literal["skip", "wait"] = Field("skip", description="when the previous run of this job is still going")
    missed: Literal["skip", "once"] = Field("skip", description="once: run late, one time, unless the action disrupts")
    grace: Annotated[int, Field(ge=1, le=86400)] = Field(60, description="how late a start still counts as on time")
    not_after: WallTime | None = Field(None, description="wall time after which a run of this job starts no host")
    dry_run: bool = False


class FreezeWindow(Part):
    """A time in which hosts are left alone: between two wall instants, or every week. ``effects`` says what is frozen."""

    id: Identifier
    reason: str = ""
    effects: tuple[Effect, ...] = ("change", "disrupt")
    start: WallInstant | None = None
    end: WallInstant | None = None
    weekdays: tuple[Weekday, ...] = Field((), description="with from_time and to_time; empty: every day")
    from_time: WallTime | None = None
    to_time: WallTime | None = Field(None, description="before from_time: the window crosses midnight")
    stores: tuple[int, ...] = Field((), description="empty: every store")
    timezone: ZoneName | None = Field(None, description="of these times, for stores in another zone than the network's")

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        absolute = (self.start is not None, self.end is not None)
        weekly = (self.from_time is not None, self.to_time is not None)
        if any(absolute) and not any(weekly) and all(absolute) and not self.weekdays:
            if self.start and self.end and self.start >= self.end:
                raise ValueError(say("start must be before end"))
            return self
        if any(weekly) and not any(absolute) and all(weekly):
            if self.from_time == self.to_time:
                raise ValueError(say("from_time and to_time are equal; for a whole day use 00:00 and 23:59:59.999999"))
            return self
        raise ValueError(say("give either start and end, or from_time and to_time (with weekdays if not every day)"))


class Database(Part):
    user: Text
    password: Secret
    name: Text
    port: Port | None = None


class Concentrator(Part):
    """A store's back-office server. Never touched by terminal actions; its databases are read by collectors."""

    address: Address
    name: str | None = None
    store: int | None = None
    mysql: Database | None = None
    postgresql: Database | None = None


class Store(Part):
    """What is known of one store as a place. ``gateway`` vouches for the store's line when a terminal goes silent: it is pinged
    and its ports are tried, nothing more. Without one, other hosts of the store do."""

    gateway: Address | None = Field(
        None,
        description="the store's router as the proxy reaches it, inside ssh.allowed_networks",
    )


class Image(Part):
    reference: ImageReference | None = Field(
        None, description="of the proxy: registry.example.com/name:tag, or @sha256:… for a fixed one"
    )
    watchtower: ImageReference = "containrrr/watchtower:1.7.1"
    interval: Annotated[int, Field(ge=30, le=86400)] = 300


class BusinessApi(Part):
    """The back end that receives collected batches."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    token: Secret
    ca_path: str | None = None
    company_id: int | None = None


class Trapper(Part):
    address: Text
    port: Port = 10051


class Delivery(Part):
    """Where results go. The control plane is always told; the rest is optional."""

    business_api: BusinessApi | None = None
    zabbix_trapper: Trapper | None = None
    keep_days: Annotated[int, Field(ge=1, le=3650)] = Field(90, description="how long results stay in the local state")
    outbox_limit: Annotated[int, Field(ge=1000)] = Field(
        100_000, description="rows kept while they cannot be delivered, about 2 kB each; then the least important go"
    )


class MonitoringAgent(Part):
    """What the agent on a terminal is told, and where its files come from."""

    server: Address | None = Field(None, description="address of the Zabbix proxy as terminals see it")
    port: Port = 10050
    assets_url: str | None = None
    assets_dir: str | None = None
    mirror_dir: str | None = None
    zabbix_proxy: str | None = Field(None, description="name or id of the Zabbix proxy of new hosts")
    templates: tuple[str, ...] = ()


class ActionSettings(Part):
    """What this network says about one action. ``params`` are checked by the action's own parameter type."""

    enabled: bool = True
    params: dict[str, Any] = Field(default_factory=dict)


class NetworkConfig(Part):
    """Everything a proxy needs to know about its network."""

    schema_version: Literal[2] = 2
    must_understand: tuple[str, ...] = Field(
        (), description="dotted paths that a reader must know, or refuse the document"
    )
    client: str = ""
    network: NetworkCode
    provider: ProviderId = "arius"
    timezone: ZoneName = "America/Sao_Paulo"
    inventory: Inventory
    ssh: Ssh = Ssh()
    credentials: tuple[Credential, ...] = ()
    rollout: dict[ProviderId, Rollout] = Field(default_factory=dict)
    overrides: dict[ProviderId, dict[ActionName, ActionName]] = Field(
        default_factory=dict,
        description="provider -> action -> the action that replaces it there; both by any of their names",
    )
    compatibility: Compatibility = Compatibility()
    actions: dict[ActionName, ActionSettings] = Field(
        default_factory=dict, description="action, by any of its names -> what this network says about it"
    )
    schedule: tuple[Job, ...] = ()
    freeze: tuple[FreezeWindow, ...] = ()
    concentrators: tuple[Concentrator, ...] = ()
    stores: dict[int, Store] = Field(default_factory=dict, description="store number -> what is known of the place")
    agent: MonitoringAgent = MonitoringAgent()
    image: Image = Image()
    delivery: Delivery = Delivery()
    refresh_interval: Annotated[int, Field(ge=30, le=86400)] = Field(300, description="seconds between refreshes")
    runs_at_once: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="scheduled runs that go on at the same time; empty: as many as the proxy's memory holds"
    )

    @model_validator(mode="after")
    def _references_hold(self) -> Self:
        for what, parts in (("credentials", self.credentials), ("schedule", self.schedule), ("freeze", self.freeze)):
            if twice := _given_twice(part.id for part in parts):
                raise ValueError(say("{part}: id given twice: {ids}", part=what, ids=twice))
        reach = self.ssh.reach()
        for number, store in self.stores.items():
            if store.gateway is not None and parse_address(store.gateway) not in reach:
                raise ValueError(
                    say(
                        "stores.{number}.gateway: {gateway} is outside ssh.allowed_networks",
                        number=number,
                        gateway=store.gateway,
                    )
                )
        if isinstance(self.inventory, StaticInventory):
            known = {c.id for c in self.credentials}
            for host in self.inventory.hosts:
                if host.credential is not None and host.credential not in known:
                    raise ValueError(
                        say(
                            "inventory.hosts: {name} names the unknown credential {credential}",
                            name=host.name,
                            credential=quoted(host.credential),
                        )
                    )
        return self
