"""What the demo tells, chapter by chapter. The commands are the product's own; nothing in their output is made up here."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from demo import terminals
from demo.stage import Stage, StageError

NETWORK = "DEMO"
ZONE = "America/Sao_Paulo"
CAST = ("slackware", "ubuntu-old", "ubuntu", "mint", "unknown", "concentrator", "off", "locked", "hung", "zanthus")


def tell(stage: Stage) -> int:
    stage.console.print()
    stage.say(
        "FlageeMonitor Proxy: maintenance on supermarket tills, and one recorded reason for every one of them.", "bold"
    )
    stage.say(
        "Everything you see runs for real, in this folder: a control plane, a proxy, SSH servers that play old and new tills."
    )
    fleet(stage)
    control_plane(stage)
    _look(stage)
    _privilege(stage)
    _change(stage)
    _plan_shutdown(stage)
    _careful(stage)
    _shutdown(stage)
    _why(stage)
    _end(stage)
    return 0


def fleet(stage: Stage) -> None:
    """Start the terminals, and show them."""
    ready = stage.start_terminals(CAST)
    stage.chapter("The store", f"{len(ready.terminals)} terminals on loopback. {_isolation(ready)}")
    for terminal in ready.terminals:
        stage.console.print(f"  {terminal['hostname']:<26} [dim]{terminal['address']:<13}[/dim] {terminal['title']}")


def _isolation(ready: terminals.Ready) -> str:
    """Where nothing can be isolated, scripts could not be run honestly, so there is nothing to show."""
    way = ready.document.get("isolation")
    if way in (None, "none"):
        raise StageError(
            "this machine lets us make no isolated terminals. Install bubblewrap and allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0), or leave the container or chroot"
        )
    notes = "".join(f" {note}" for note in ready.document.get("notes", ()))
    return f"Each answers real shell scripts inside its own tree ({way}); none can reach this machine's files.{notes}"


def control_plane(stage: Stage) -> None:
    """Register customer and network, start the control plane, and give the proxy its configuration."""
    stage.chapter(
        "The control plane",
        "An operator registers the customer and its network, stores its configuration, and issues a token for its proxy.",
    )
    document = stage.folder / "config_bot.json"
    assert stage.ready is not None  # noqa: S101
    document.write_text(json.dumps(configuration(stage.ready, stage.window_hours), indent=2), encoding="utf-8")
    stage.server("init-db")
    stage.server("client", "add", "demo-customer")
    stage.server("network", "add", "demo-customer", NETWORK)
    stage.server("config", "set", "demo-customer", NETWORK, document.name)
    token = stage.issue_token("demo-customer", "--network", NETWORK, "--expires", "30d")
    stage.say("  (the token is shown once; only its hash is stored)", "dim")
    stage.start_control_plane()
    stage.enrol(token)
    stage.say(
        "\nThe proxy enrols with it, as the installer does, and fetches its configuration with the token that it gets:"
    )
    stage.proxy("config", "refresh")


def _look(stage: Stage) -> None:
    stage.chapter(
        "1. Look: what are these machines?",
        "diagnose_env only reads. Hosts that are off, hang or refuse the login say so, and delay nobody else.",
    )
    stage.proxy("diagnose_env", "--all", "--output", "table", expected=1)
    stage.say(
        "\nexit code 1: something needs a look. The zanthus till was not even contacted: its provider is rolled out to 0 %.",
        "dim",
    )


def _privilege(stage: Stage) -> None:
    stage.chapter("2. Look: can we become root on store 1?", "By its first-generation name, which works as well.")
    stage.proxy("pdv_test_sudo", "--loja", "1", "--output", "table")


def _change(stage: Stage) -> None:
    stage.chapter(
        "3. Change: the time zone",
        "Machines that are right are left alone, those that are wrong are changed and then looked at again to prove it.",
        "This network enforces compatibility: a system that no row of the matrix covers is blocked, not tried.",
    )
    stage.proxy("update_endpoint_timezone", "--loja", "LOJA001", "--output", "table", expected=1)
    stage.say("\nA second time, everything that was changed is simply right:")
    stage.proxy("update_endpoint_timezone", "--loja", "1", "--output", "table", expected=1)


def _plan_shutdown(stage: Stage) -> None:
    stage.chapter(
        "4. Dry-run: power off the store",
        "What would happen, to whom, and who would be spared. Dry-run is the engine's: nothing is written, whatever the action.",
    )
    stage.proxy("shutdown_endpoint", "--loja", "1", "--dry-run", "--output", "table", expected=1)


def _careful(stage: Stage) -> None:
    stage.chapter(
        "5. Nothing is touched by mistake",
        "A name that matches no host stops the run; what is like it is offered.",
    )
    stage.proxy("update_endpoint_timezone", "--host", f"{NETWORK}-LOJA001-PDV201", "--host", "PDV299", expected=5)
    stage.say(
        "\nPowering off must be confirmed: by typing the number of hosts on a terminal, with --yes where nobody can be asked."
    )
    stage.proxy("shutdown_endpoint", "--loja", "1", "--reason", "stocktaking", expected=2)


def _shutdown(stage: Stage) -> None:
    stage.chapter(
        "6. Power off one terminal, and prove it",
        "A refused connection would prove that the machine is on. It counts as gone when it is silent for a while, and something",
        "else of the same store answers all that time: a cut line would silence both.",
    )
    assert stage.ready is not None  # noqa: S101
    name = next(terminal["hostname"] for terminal in stage.ready.terminals if terminal["id"] == "ubuntu")
    stage.proxy("shutdown_endpoint", "--host", name, "--yes", "--output", "table")


def _why(stage: Stage) -> None:
    stage.chapter("Why?", "Every host that was considered can be asked about, gate by gate.")
    stage.proxy("why", f"{NETWORK}-LOJA001-CONCENTRADOR", "--last", "1", "--output", "table")
    stage.proxy("why", f"{NETWORK}-LOJA001-PDV201", "--last", "2", "--output", "table")


def _end(stage: Stage) -> None:
    stage.chapter("The ledger", "All of it is in the proxy's local state, waiting in an outbox for the control plane.")
    stage.proxy("runs", "--output", "table")
    stage.chapter(
        "Headquarters",
        "The proxy's daemon starts now: it delivers what waited, and from here on each result within seconds.",
    )
    stage.start_daemon()
    stage.server("status")
    stage.server("runs")
    stage.say("\nWhat became of this till? The answer, without asking the proxy:")
    stage.server("why", f"{NETWORK}-LOJA001-PDV201", "--last", "1")
    stage.say("\nThe last things that were told; `--follow` shows them as they come:")
    stage.server("events", "--kind", "result", "--last", "3")
    stage.say(
        "\nThat is the thread: token, configuration, inventory, gates, action, reason, headquarters. `make test` proves it.",
        "bold",
    )


def configuration(ready: terminals.Ready, window_hours: int = 2) -> dict[str, Any]:
    """The network's document, schema version 2. Short time limits, because one of the terminals hangs on purpose."""
    credentials, hosts = [], []
    for terminal in ready.terminals:
        noted = ready.credentials[terminal["id"]]
        login: dict[str, Any] = {"id": terminal["id"], "user": noted["user"]}
        if "key" in noted:
            login["private_key"] = Path(noted["key"]).read_text(encoding="ascii")
        else:
            login["password"] = noted["password"]
        credentials.append(login)
        host = {
            "name": terminal["hostname"],
            "address": terminal["address"],
            "port": terminal["port"],
            "credential": terminal["id"],
        }
        for key in ("provider", "role"):
            if terminal.get(key):
                host[key] = terminal[key]
        hosts.append(host)
    now = dt.datetime.now(ZoneInfo(ZONE))
    return {
        "schema_version": 2,
        "client": "demo-customer",
        "network": NETWORK,
        "timezone": ZONE,
        "inventory": {"kind": "static", "hosts": hosts},
        "credentials": credentials,
        "ssh": {
            "allowed_networks": ["127.77.0.0/24"],
            "connect_timeout": 4,
            "command_timeout": 20,
            "host_deadline": 40,
        },
        "compatibility": {"mode": "enforce"},
        "actions": {"shutdown_endpoint": {"params": {"windows": [_around(now, window_hours)]}}},
        "schedule": [
            {
                "id": "timezone-weekly",
                "action": "update_endpoint_timezone",
                "cron": "30 4 * * sun",
                "selector": {"all": True},
            },
            {
                "id": "night",
                "action": "shutdown_endpoint",
                "cron": "50 23 * * *",
                "selector": {"all": True},
                "not_after": "00:30",
                "enabled": False,
            },
        ],
    }


def _around(now: dt.datetime, hours: int) -> dict[str, str]:
    """A window that is open at this moment, so that the dry-run has something to tell at any time of day."""
    start, end = now - dt.timedelta(hours=1), now + dt.timedelta(hours=hours)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}
