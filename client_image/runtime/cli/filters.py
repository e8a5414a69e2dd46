"""The filters of `run` and `hosts`, as options of a command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Filters: every one that is given must hold. Several values: repeat the option, or separate by commas."""
    options = [
        click.option("--provider", metavar="ID", help="Read names as this provider's, and keep only its hosts."),
        click.option(
            "--rede", "--network", "network", metavar="CODE", help="Must be the network that this proxy serves."
        ),
        click.option("--loja", "--store", "stores", multiple=True, metavar="N", help="Store: 1, 001 or LOJA001."),
        click.option(
            "--pdv",
            "--terminal",
            "terminals",
            multiple=True,
            metavar="N",
            help="Terminal: PDV201 or SELF01; 201 is both kinds.",
        ),
        click.option("--ip", "--pdv-ip", "addresses", multiple=True, metavar="IP", help="Address of a host."),
        click.option(
            "--host",
            "names",
            multiple=True,
            metavar="NAME",
            help="Technical name of a host, or a visible name that is no other host's.",
        ),
        click.option("--group", "groups", multiple=True, metavar="NAME", help="Host group, with what is nested in it."),
        click.option("--tag", "tags", multiple=True, metavar="K=V", help="Host tag; all given ones must be there."),
        click.option(
            "--trigger-id", "trigger_ids", multiple=True, metavar="ID", help="Hosts with this trigger in problem."
        ),
        click.option(
            "--trigger-name", "trigger_names", multiple=True, metavar="TEXT", help="The same by exact description."
        ),
        click.option(
            "--agent-status", type=click.IntRange(0, 2), help="Agent as Zabbix sees it: 0 unknown, 1 up, 2 down."
        ),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many hosts, in order of store."),
        click.option("--all", "everything", is_flag=True, help="Select every host of the network."),
        click.option(
            "--ignore-missing", is_flag=True, help="Go on with the rest when a value of a filter matches nothing."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function
