"""Every key of a first-generation document and its translation: the table from which the translation and its page are made.

Read by :mod:`contracts.legacy` (notes, unknown keys), :mod:`contracts.document` (which keys hold secrets) and
`make schema` (docs/first-generation.md). Source: docs of the first generation, domain facts section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.notes import NoteLevel
from contracts.text import say

_TIMEZONE = "actions.update_endpoint_timezone.params"
_SHUTDOWN = "actions.shutdown_endpoint.params"
_MYSQL, _POSTGRESQL = "concentrators[].mysql", "concentrators[].postgresql"
_ONE_ROOT = say("everything lives under /flageemonitor in the image")
_STDOUT = say("logs go to standard output as JSON; Docker limits and rotates them")
_OLD_BOT = say("read by an older generation only")
_DIRECT = say("results go through the business API, never straight into its database")


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it was written (dots: inside a map). ``to``: dotted path in schema 2, empty when the key is dropped.

    ``text``: what changes on the way, or why it is dropped. ``note``: the level of the note that its presence
    always causes; a dropped key always causes one.
    """

    name: str
    to: str = ""
    text: str = ""
    note: NoteLevel | None = None
    secret: bool = False


KEYS = (
    # who and where
    Key("PARAM_REDE", "network"),
    Key("PARAM_PROVIDER", "provider"),
    Key(
        "provider", "provider", say("only where PARAM_PROVIDER is missing: the first generation never read it"), "info"
    ),
    Key("TIMEZONE", f"timezone, {_TIMEZONE}.timezone"),
    # what may be touched
    Key(
        "PARAM_ROLLOUT_<PROVIDER>",
        "rollout.<provider>.percent",
        "whole percent, limited to 0..100; has priority over the next key",
    ),
    Key(
        "PARAM_PROVIDER_ROLLOUT",
        "rollout.<provider>.percent",
        say(
            "a map, or one number for arius and the network's own provider. The percentage selects other hosts than "
            "before, because address and user are no longer part of a host's identity"
        ),
        "info",
    ),
    Key("PARAM_PROVIDER_ACTION_OVERRIDES", "overrides"),
    Key("PARAM_COMPATIBILITY_MODE", "compatibility.mode", "any value but off, warn and enforce means warn, as before"),
    # Zabbix
    Key(
        "PARAM_ZABBIX_SERVER",
        "inventory.url",
        say(
            "`https://<host>/api_jsonrpc.php`, or a full URL as it is. Its certificate is verified now; the file of a private "
            "authority goes into inventory.ca_path"
        ),
        "info",
    ),
    Key("PARAM_TOKEN", "inventory.token", secret=True),
    Key("EXCLUDE_TEMPLATE_IDS", "inventory.exclude_templates"),
    Key("PARAM_ZABBIX_GROUPID", "", say("the group is found by the network's name, or by inventory.groups")),
    Key("PARAM_ZABBIX_PROXYID", "agent.zabbix_proxy"),
    Key("PARAM_TEMPLATES", "agent.templates"),
    Key("PARAM_ZABBIX_PORT", "agent.port"),
    Key(
        "PARAM_PROXY_IP",
        "agent.server",
        "a loopback address is dropped: it would tell every terminal to report to itself",
    ),
    Key("PARAM_ZABBIX_SENDER_SERVER", "delivery.zabbix_trapper.address", "without it nothing is sent: no default"),
    Key("PARAM_ZABBIX_SENDER_PORT", "delivery.zabbix_trapper.port"),
    # SSH
    Key("max_threads", "ssh.parallel", "limited to 1..512"),
    Key(
        "ssh.timeout",
        "ssh.connect_timeout, ssh.command_timeout",
        say(
            "the time for a login is at least 30 s and the time for a command at least 60 s, because each now covers more. "
            "Other keys of schema 2 inside ssh are used as they are"
        ),
        "info",
    ),
    # when actions run
    Key(
        "PARAM_CRON_ACTIONS.pdv_shutdown",
        "schedule[shutdown_endpoint]",
        "translated, and always disabled: the first generation powered checkouts off by default",
    ),
    Key("PARAM_CRON_ACTIONS.status_caixa", "schedule[collect_checkout_status].enabled"),
    Key("PARAM_CRON_ACTIONS.<other>", "", say("never had an effect; write the schedule in schema 2"), "warning"),
    # shutdown
    Key(
        "shutdown_window.start",
        f"{_SHUTDOWN}.windows[0].start",
        "a whole hour; without it 22",
    ),
    Key(
        "shutdown_window.end",
        f"{_SHUTDOWN}.windows[0].end",
        say(
            "the hour was inclusive: 6 becomes 07:00, exclusive. Without it 6. A window inside one day, which was read as "
            '"always", now is that window'
        ),
        "info",
    ),
    Key("shutdown_exception_ips", f"{_SHUTDOWN}.exceptions"),
    # time zone of terminals
    Key("PDV_TIMEZONE_SETTINGS", _TIMEZONE, "priority: the network's entry, `default`, the four general keys"),
    Key("TIMEZONE_LOCALTIME_TARGET", f"{_TIMEZONE}.localtime_target"),
    Key(
        "NTP_ENABLE", f"{_TIMEZONE}.enable_ntp", "1, true, yes, y and on are true, any other value is false, as before"
    ),
    Key("NTP_SERVER", f"{_TIMEZONE}.ntp_server"),
    # concentrators and their databases
    Key("PARAM_IP_CONCENTRADORES", "concentrators[].address"),
    Key("CONCENTRADORES", "concentrators[].address, concentrators[].store", "joined with the list above by address"),
    Key("DB_USER", f"{_MYSQL}.user, {_POSTGRESQL}.user", "used for each concentrator"),
    Key("DB_PASS", f"{_MYSQL}.password, {_POSTGRESQL}.password", secret=True),
    Key("DB_NAME", f"{_MYSQL}.name", "without it `controle`; collectors name the other databases themselves"),
    Key("DB_PG_USER", f"{_POSTGRESQL}.user", "without it DB_USER"),
    Key("DB_PG_PASS", f"{_POSTGRESQL}.password", "without it DB_PASS", secret=True),
    Key("DB_PG_DB", f"{_POSTGRESQL}.name", "without it there is no PostgreSQL to read"),
    Key("DB_PG_PORT", f"{_POSTGRESQL}.port"),
    # business back end
    Key("PARAM_BI_SERVER", "delivery.business_api.url", "`https://<host>`, or a full URL as it is"),
    Key("PARAM_TOKEN_BI", "delivery.business_api.token", secret=True),
    Key(
        "PARAM_BI_CERTI_PATH",
        "delivery.business_api.ca_path",
        "dropped if it is the certi_api.pem of the old image, which is a public authority and needs no file",
    ),
    Key("PARAM_EMPRESA_ID", "delivery.business_api.company_id"),
    Key("DB_HOST_BI", "", _DIRECT),
    Key("DB_USER_BI", "", _DIRECT),
    Key("DB_PASS_BI", "", _DIRECT, secret=True),
    Key("DB_NAME_BI", "", _DIRECT),
    # assets
    Key("PARAM_REPO_URL", "agent.assets_url"),
    Key("PARAM_LOCAL_ASSET_DIR", "agent.assets_dir"),
    Key("PARAM_LOCAL_REPO_DIR", "agent.mirror_dir"),
    Key("PARAM_CLISITEF_DIR", "actions.update_payment_client_config.params.template_dir"),
    Key("PDV_PARSING_RULE", "actions.refresh_endpoint_printer.params.parsing_rule"),
    Key("PARAM_PATH_GERAL_LOCAL", "", say("user parameters are the image's own")),
    Key("PARAM_PATH_GERAL_REMOTE", "", say("user parameters have one place on a terminal")),
    # no longer needed
    Key("PARAM_BASE_DIR", "", _ONE_ROOT),
    Key("PARAM_SCRIPTS_PATH", "", _ONE_ROOT),
    Key("logfiles.general", "", _STDOUT),
    Key("log_rotation.max_bytes", "", _STDOUT),
    Key("log_rotation.backup_count", "", _STDOUT),
    Key("PARAM_PORT", "", _OLD_BOT),
    Key("PARAM_AGENTD_LOG", "", _OLD_BOT),
    Key("PARAM_AGENTD_PID", "", _OLD_BOT),
    Key("PARAM_AGENTD_CONF_DIR", "", _OLD_BOT),
)

# What these documents do not contain and schema 2 needs.
IMPLIED = (
    Key(
        "",
        "inventory.notes_credentials",
        say(
            "hosts are logged in to with the user and password in their Zabbix inventory notes, where everyone who may read the "
            "inventory sees them: move them to credentials"
        ),
        "warning",
    ),
    Key(
        "",
        "ssh.allowed_networks",
        say("only private addresses are contacted; name others in ssh.allowed_networks"),
        "info",
    ),
)

SECRET_KEYS = frozenset(key.name for key in KEYS if key.secret)


@dataclass(frozen=True, slots=True)
class DefaultJob:
    """A line of the first generation's crontab, which every network had. ``needs``: the keys of the document that it needs."""

    action: str
    cron: str
    needs: tuple[str, ...] = ()
    selector: Mapping[str, Any] = field(default_factory=dict)
    changed: str = ""


_COLLECTS = ("concentrators[].mysql", "delivery.business_api")

SHUTDOWN = DefaultJob("shutdown_endpoint", "50 23 * * *", selector={"all": True})
CHECKOUT_STATUS = DefaultJob("collect_checkout_status", "*/3 * * * *", ("concentrators[].postgresql",))
DEFAULT_JOBS = (
    DefaultJob("install_endpoint_agent", "*/30 * * * *", ("agent.server",), {"all": True, "agent_status": 2}),
    DefaultJob("collect_coupons", "*/5 * * * *", _COLLECTS),
    DefaultJob("collect_coupon_details", "0 * * * *", _COLLECTS),
    DefaultJob("collect_coupon_lv", "*/10 7-23 * * *", _COLLECTS),
    DefaultJob(
        "refresh_endpoint_printer",
        "0 1 * * *",
        ("concentrators[].mysql",),
        {"all": True},
        changed=say("was `* 1 * * *`, which ran it sixty times a night"),
    ),
    CHECKOUT_STATUS,
    SHUTDOWN,
)
REFRESH_TEXT = "the hourly refresh of the configuration is no job: refresh_interval, 300 s"
