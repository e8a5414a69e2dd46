"""Actions whose names are fixed and which this version does not carry yet: known, explained, refused by name.

Each leaves this table for a module of its own. Names, aliases and where each works: domain.md 2.1, which docs/actions.md
is generated from.
"""

from __future__ import annotations

from contracts.text import say
from runtime.domain.action import Action, LegacyOption
from runtime.domain.model import Effect

_TERMINAL: tuple[tuple[str, tuple[str, ...], Effect, str], ...] = (
    (
        "install_endpoint_agent",
        ("pdv_install", "install_host_agent", "install_client_agent"),
        "change",
        say("Put the monitoring agent on a terminal, or put it back."),
    ),
    (
        "uninstall_endpoint_agent",
        ("pdv_uninstall", "uninstall_host_agent", "uninstall_client_agent"),
        "disrupt",
        say("Remove every trace of the monitoring agent."),
    ),
    (
        "update_endpoint_config",
        ("pdv_update_config", "update_host_config", "update_client_config"),
        "change",
        say("Bring the agent's files and configuration to the desired state."),
    ),
    (
        "update_payment_client_config",
        ("pdv_update_clisitef",),
        "change",
        say("Replace the payment client's configuration by the chain's template, keeping what belongs to the machine."),
    ),
    (
        "update_fiscal_client_config",
        ("pdv_update_kwnfce",),
        "change",
        say("Bring the fiscal client's configuration to the desired state."),
    ),
    (
        "update_agent_userparameters",
        ("pdv_update_geral_conf",),
        "change",
        say("Push the agent's user parameters and restart it where they changed."),
    ),
)

_REGISTER_OPTIONS = (
    LegacyOption("--autoregister", "register", is_flag=True),
    LegacyOption("--fix-divergent", "fix_divergent", is_flag=True),
    LegacyOption("--list-missing", "list_missing", is_flag=True),
    LegacyOption("--list-zabbix-only", "list_zabbix_only", is_flag=True),
)
_NETWORK: tuple[tuple[str, tuple[str, ...], Effect, str, tuple[LegacyOption, ...]], ...] = (
    (
        "refresh_endpoint_printer",
        ("pdv_atualiza_impressora", "refresh_host_printer"),
        "change",
        say("Copy each checkout's printer from the concentrator to Zabbix macros."),
        (),
    ),
    (
        "register_endpoints",
        ("pdv_auto_register", "register_hosts"),
        "change",
        say("Compare the concentrators' checkouts with Zabbix; list, create or rename hosts."),
        _REGISTER_OPTIONS,
    ),
)

_PERIOD = (LegacyOption("--dtini", "since"), LegacyOption("--dtfim", "until"))
_CONCENTRATOR: tuple[tuple[str, tuple[str, ...], str, tuple[LegacyOption, ...]], ...] = (
    ("collect_coupons", ("cupons",), say("Send recent fiscal documents to the business back end."), _PERIOD),
    ("collect_coupon_details", ("cupons_detalhes",), say("Reconcile sale headers day by day."), _PERIOD),
    ("collect_coupon_lv", ("cupons_lv",), say("Send sale headers in near real time."), _PERIOD),
    ("collect_sat_config", ("sat_config",), say("Send each store's SAT reconciliation key."), ()),
    ("collect_checkout_status", ("status_caixa",), say("Tell Zabbix which cashier is on which till."), ()),
)

ANNOUNCED: tuple[Action, ...] = (
    *(Action(name, aliases, "0.0.0", summary, effect) for name, aliases, effect, summary in _TERMINAL),
    *(
        Action(name, aliases, "0.0.0", summary, effect, target="network", roles=frozenset(), legacy=legacy)
        for name, aliases, effect, summary, legacy in _NETWORK
    ),
    *(
        Action(
            name,
            aliases,
            "0.0.0",
            summary,
            "read",
            target="concentrator",
            roles=frozenset({"concentrator"}),
            legacy=legacy,
        )
        for name, aliases, summary, legacy in _CONCENTRATOR
    ),
)
