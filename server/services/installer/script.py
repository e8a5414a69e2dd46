"""The install script of one network, and the line that fetches it. Called by :mod:`server.api.bootstrap` and the CLI."""

from __future__ import annotations

import datetime as dt
import shlex
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
from server.services.installer.rendering import powershell_quoted, render, sh_quoted
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
    parts = bootstrap.assets.parts(platform)
    config = _config(reader, vault, current)
    return render(parts.template, _values(bootstrap, current, config, token, now), parts.wrappers, platform.language)


def install_line(bootstrap: Bootstrap, network: str, token: Secret, ca: str | None) -> str:
    """What to paste on a host. ``ca`` is a path on that host: a private authority, for curl and for the installer.

    Refusals: public_url_missing, installer_value_invalid.
    """
    _check_path(ca)
    url = f"{bootstrap.address('/api/bootstrap/install.sh')}?rede={network}"
    trust = "" if ca is None else f" --cacert {shlex.quote(ca)}"
    script = "sudo sh" if ca is None else f"sudo sh -s -- --ca {shlex.quote(ca)}"
    # The token goes to curl on its stdin: its arguments are there for every user of the host to read. No redirect is followed,
    # because curl would take the header along.
    header = sh_quoted(f'header = "X-Bot-Token: {token.reveal()}"')
    return f"printf '%s\\n' {header} | curl -fsS{trust} -K - {sh_quoted(url)} | {script}"


def windows_line(bootstrap: Bootstrap, network: str, token: Secret, ca: str | None) -> str:
    """The same for a host with Windows, to paste into PowerShell 5.1 or 7.

    ``irm`` cannot be told of a private authority, so that curl.exe, which comes with Windows, fetches the script then; the token
    goes through its stdin. Refusals: as above.
    """
    _check_path(ca)
    url = powershell_quoted(f"{bootstrap.address('/api/bootstrap/install.ps1')}?rede={network}")
    if ca is None:
        header = powershell_quoted(token.reveal())
        return (
            "[Net.ServicePointManager]::SecurityProtocol = 'Tls12'; "
            f"irm -Headers @{{'X-Bot-Token'={header}}} {url} | iex"
        )
    header = powershell_quoted(f'header = "X-Bot-Token: {token.reveal()}"')
    trust = powershell_quoted(ca)
    fetch = f"{header} | curl.exe -fsS --ssl-no-revoke --cacert {trust} -K - {url}"
    return f"& ([scriptblock]::Create((({fetch}) -join [char]10))) -Ca {trust}"


def _check_path(ca: str | None) -> None:
    if ca is not None and not ca.isprintable():
        says = say("the path of the authority cannot be printed on one line")
        raise Refusal(table.INSTALLER_VALUE_INVALID, says=says, do=say("rename the file"))


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
