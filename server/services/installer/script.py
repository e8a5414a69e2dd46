"""The install script of one network. Called by :mod:`server.api.bootstrap` and ``flagee-server install-command``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.config import NetworkConfig
from contracts.document import DocumentError, read_document
from contracts.image_reference import parse_reference
from contracts.secret import Secret
from contracts.text import joined, say
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.configurations.in_force import Current, plaintext
from server.services.installer.assets import LINUX, InstallerFiles, Platform
from server.services.installer.rendering import render
from server.storage.crypto import Vault
from server.storage.session import Reader
from server.version import VERSION


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What an installer is made from beside the database. ``client_image`` is for networks whose document names none."""

    public_url: str | None
    client_image: str
    assets: InstallerFiles

    def address(self, path: str) -> str:
        """A full address of this server, as hosts reach it. Refusal: public_url_missing."""
        if self.public_url is None:
            raise Refusal(table.PUBLIC_URL_MISSING)
        return self.public_url.rstrip("/") + path


def install_script(
    reader: Reader,
    vault: Vault | None,
    bootstrap: Bootstrap,
    current: Current,
    token: Secret,
    now: dt.datetime,
    platform: Platform = LINUX,
) -> bytes:
    """The installer for the network of ``current``, with ``token`` inside: hand it to nobody but who sent that.

    Refusals: public_url_missing, assets_missing, configuration_invalid, installer_value_invalid, and those of
    :func:`server.services.configurations.in_force.plaintext`.
    """
    bootstrap.address("")  # before anything is read: without it no installer works
    template = bootstrap.assets.template(platform)
    config = _config(reader, vault, current)
    return render(template, _values(bootstrap, current, config, token, now), platform.language)


def _config(reader: Reader, vault: Vault | None, current: Current) -> NetworkConfig:
    try:
        # As a proxy reads it: what was stored stays usable when this version has become stricter.
        return read_document(plaintext(reader, vault, current), strict=False).config
    except DocumentError as error:
        causes = joined(map(str, error.problems), "; ")
        raise Refusal(table.CONFIGURATION_INVALID, network=current.network, causes=causes) from None


def _values(
    bootstrap: Bootstrap, current: Current, config: NetworkConfig, token: Secret, now: dt.datetime
) -> Mapping[str, str | int]:
    image = config.image.reference or bootstrap.client_image
    for key, reference in (("image.reference", image), ("image.watchtower", config.image.watchtower)):
        try:
            parse_reference(reference)
        except ValueError as error:  # a document from before this was checked
            raise Refusal(
                table.INSTALLER_VALUE_INVALID,
                says=say("{key} of network {network}: {error}", key=key, network=current.network, error=error),
                do=say("correct the document"),
            ) from None
    return {
        "API_BASE": bootstrap.address("/api/ingest"),
        "ENROLL_URL": bootstrap.address("/api/bootstrap/enroll"),
        "HEALTH_URL": bootstrap.address("/api/bootstrap/health"),
        "CLIENT": current.client,
        "NETWORK": current.network,
        "TIMEZONE": config.timezone,
        "IMAGE": image,
        "WATCHTOWER_IMAGE": config.image.watchtower,
        "WATCHTOWER_INTERVAL": config.image.interval,
        "BOOTSTRAP_TOKEN": token.reveal(),
        "SERVER_TIME": int(now.timestamp()),
        "SERVER_VERSION": VERSION,
    }
