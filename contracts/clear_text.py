"""Notes on what a document sends or fetches over plain http; nothing is refused, since some networks have nothing better yet.

Pure; called by :func:`contracts.document.read_document` for documents of both generations.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from contracts.address import is_loopback
from contracts.config import NetworkConfig, ZabbixInventory
from contracts.notes import Note
from contracts.text import say


def notes_on(config: NetworkConfig) -> Iterator[Note]:
    """One for each URL that leaves this machine in clear text, with what to do about it."""
    inventory, api, assets = config.inventory, config.delivery.business_api, config.agent.assets_url
    if isinstance(inventory, ZabbixInventory) and is_clear(inventory.url):
        shown = (
            say("the API token and the passwords in inventory notes")
            if inventory.notes_credentials
            else say("the API token")
        )
        text = say(
            "plain http: {shown} cross the network in clear text, and hosts can be forged on the way; serve Zabbix over https",
            shown=shown,
        )
        yield Note(
            "danger",
            "inventory.url",
            say("{danger} and write https:// (a private authority: inventory.ca_path)", danger=text),
        )
    if api is not None and is_clear(api.url):
        text = say(
            "plain http: the token and all that is delivered cross the network in clear text; serve it over https"
        )
        yield Note(
            "danger",
            "delivery.business_api.url",
            say("{danger} and write https:// (a private authority: delivery.business_api.ca_path)", danger=text),
        )
    if assets is not None and is_clear(assets):
        text = say(
            "plain http: files for terminals can be changed on the way; serve them over https and write https://"
        )
        yield Note("warning", "agent.assets_url", text)


def is_clear(url: str) -> bool:
    """Whether a URL is plain http to another machine than this one."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")
    except ValueError:  # brackets without an address in them
        return url.lower().startswith("http://")
