"""The control plane's settings: environment to one frozen :class:`Settings`. Read by :mod:`server.app` and :mod:`server.cli`.

Every setting is ``FLAGEE_<NAME>``; ``FLAGEE_<NAME>_FILE`` names a file that holds the value instead, which is how secrets get in.
``docs/settings.md`` is generated from this module, see :mod:`tools.server_settings`.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contracts.address import is_loopback
from contracts.bounded import whole
from contracts.document import Problem, problems_of
from contracts.image_reference import parse_reference
from contracts.secret import Secret
from contracts.text import joined, say
from server.plain_file import read_plain

PREFIX = "FLAGEE_"
FILE_SUFFIX = "_FILE"
KEY_BYTES = 32
_FILE_BYTES = 65536
_ALIKE = 0.75  # of 1: a letter or two is wrong
_PLAIN = re.compile(r"[!-~]+")  # it becomes part of a script and of a line to paste
MAKE_A_KEY = "openssl rand -base64 32 | tr '+/' '-_'"


class SettingsError(Exception):
    """The environment cannot be used. The text names each wrong variable and what it should hold, one a line."""


def _database_url(url: Secret) -> Secret:
    text = url.reveal()
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///") and ":memory:" not in text:
        return url
    if text.startswith(("postgresql://", "postgresql+psycopg://")):
        return url
    raise ValueError(
        say("give sqlite:///relative.db, sqlite:////absolute.db or postgresql://user:password@host/database")
    )


def _secret_key(key: Secret) -> Secret:
    try:
        decoded = decode_key(key)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise ValueError(
            say(
                "{number} random bytes in base64url are expected; make them with: {command}",
                number=KEY_BYTES,
                command=MAKE_A_KEY,
            )
        )
    return key


def _bind(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or whole(port, 0, 65535) is None:
        raise ValueError(say("give HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080"))
    return text


def _image(text: str) -> str:
    parse_reference(text)
    return text


def _path(text: Any) -> Any:
    if isinstance(text, str) and ("\n" in text or "-----BEGIN" in text):
        raise ValueError(say("this is the content of a file; give its path, in the variable without _FILE at its end"))
    return text


class Settings(BaseModel):
    """Each field's description is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[Secret, AfterValidator(_database_url)] = Field(
        Secret("sqlite:///flagee.db"),
        description="Where everything is stored. A relative SQLite path counts from the folder the command runs in, so name an "
        "absolute one (`sqlite:////var/lib/flagee/flagee.db`) for a service. PostgreSQL: `postgresql://user:password@host/database`.",
    )
    database_timeout: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Seconds to wait for a locked or silent database before a request is answered with 503.",
    )
    secret_key: Annotated[Secret, AfterValidator(_secret_key)] | None = Field(
        None,
        description="Encrypts stored configurations (AES-256-GCM): 32 random bytes in base64url. `serve`, `config set` and "
        "`config show` need it. Keep a copy apart from the database: without it stored configurations cannot be read. "
        f"Make one with `{MAKE_A_KEY}`.",
    )
    public_url: str | None = Field(
        None,
        description="Address under which proxies reach this server; needed to install any. Must be https, unless it is loopback "
        "or `FLAGEE_INSECURE` is set.",
    )
    client_image: Annotated[str, AfterValidator(_image)] = Field(
        "ghcr.io/flagee-cloud/flageemonitor-client:latest",
        description="Image that the installer runs where a network's document does not name one under `image.reference`.",
    )
    assets: Path | None = Field(
        None,
        description="Folder that holds `bootstrap/`, `wrappers/` and `locale/`, which the installer is made from. Default: the "
        "nearest folder above the program that holds `bootstrap/`.",
    )
    insecure: bool = Field(
        False, description="Accept a `FLAGEE_PUBLIC_URL` without TLS. Tokens and passwords then travel in clear text."
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="How many reverse proxies stand in front of `serve`; its own nginx does not count. Only then are "
        "`X-Forwarded-For`, `-Proto` and `-Host` believed, "
        "that many hops deep.",
    )
    bind: Annotated[str, AfterValidator(_bind)] = Field(
        "127.0.0.1:8080", description="`HOST:PORT` that `serve` listens on."
    )
    tls_certificate: Annotated[Path, BeforeValidator(_path)] | None = Field(
        None,
        description="Path of a certificate with its intermediates (PEM), for a server that hosts reach without a reverse proxy. "
        "With `FLAGEE_TLS_KEY` it serves https only. Renewed files are taken without a restart.",
    )
    tls_key: Annotated[Path, BeforeValidator(_path)] | None = Field(
        None, description="Path of the certificate's private key (PEM, no passphrase)."
    )
    nginx: str = Field(
        "nginx",
        description="Name or path of nginx, which `serve` starts as the public listener; one that is set must be there. "
        "`none`: serve without it, on loopback only.",
    )
    address_rate: int = Field(
        500,
        ge=1,
        le=100000,
        description="Requests a second that one address (IPv6: one /64) may send, twice as many at once; more are answered with "
        "429. Holds with nginx and without trusted proxies.",
    )
    address_requests: int = Field(
        500,
        ge=1,
        le=100000,
        description="Requests of one address that are sent, worked on or answered at the same time; more are answered with 429. "
        "Holds as `FLAGEE_ADDRESS_RATE` does.",
    )
    workers: int = Field(2, ge=1, le=64, description="Server processes; one for each core is a good start.")
    threads: int = Field(
        8,
        ge=1,
        le=256,
        description="Requests that each process works on with the database at once; others wait, and "
        "connections that are only held do not count.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`json` is one object a line; `auto` is `console` on a terminal and `json` elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`debug` adds a line for every poll that found nothing new, and for every health check."
    )
    last_use_interval: int = Field(
        300,
        ge=1,
        le=86400,
        description="Seconds between writes of when tokens were last used, and of counters, for each process. "
        "Requests themselves write nothing.",
    )

    ingest_envelopes: int = Field(
        1000, ge=1, le=10_000, description="Envelopes that an agent may send at once; more are answered with 413."
    )
    ingest_bytes: int = Field(
        4 * 1024 * 1024,
        ge=300_000,
        le=64 * 1024 * 1024,
        description="Bytes of a batch after decompression; more are answered with 413.",
    )
    ingest_agent_quota: int = Field(
        30_000,
        ge=100,
        description="Envelopes a minute that one agent may send; above 80 % of it the answer is 429, until it is at 60 %. Every "
        "process counts its share.",
    )
    ingest_client_quota: int = Field(600_000, ge=100, description="The same for all agents of one client together.")
    heartbeat_interval: int = Field(
        30,
        ge=5,
        le=3600,
        description="Seconds between two heartbeats of an agent. One that was silent for 2 of them is late, for 10 offline.",
    )
    telemetry_days: int = Field(
        90,
        ge=46,
        le=3650,
        description="Days for which envelopes, runs and outcomes are kept after they were received. At least 46, because an "
        "envelope is known as a duplicate for 45 days.",
    )

    @model_validator(mode="after")
    def _public_url_is_safe(self) -> Self:
        if self.public_url is None:
            return self
        url = urlsplit(self.public_url)
        plain = _PLAIN.fullmatch(self.public_url) and not (url.query or url.fragment)
        if url.scheme not in ("http", "https") or not url.hostname or not plain:
            raise ValueError(
                say(
                    "{setting}: give a full address, for example https://control.example.com",
                    setting=variable("public_url"),
                )
            )
        if url.scheme == "http" and not self.insecure and not is_loopback(url.hostname):
            raise ValueError(
                say(
                    "{setting}: must be https, because tokens and passwords travel over it; "
                    "to go without TLS on purpose set FLAGEE_INSECURE=true",
                    setting=variable("public_url"),
                )
            )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_certificate and not self.tls_key:
            raise ValueError(_alone("tls_certificate", "tls_key"))
        if self.tls_key and not self.tls_certificate:
            raise ValueError(_alone("tls_key", "tls_certificate"))
        return self

    def key(self) -> bytes | None:
        """The decoded secret key, or None when there is none."""
        return decode_key(self.secret_key) if self.secret_key else None


def _alone(given: str, missing: str) -> str:
    return say(
        "{missing}: {given} is set without it; set both or none", missing=variable(missing), given=variable(given)
    )


def decode_key(key: Secret) -> bytes:
    """Bytes of a base64url text, with or without padding. Raises binascii.Error or ValueError."""
    text = key.reveal()
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def variable(field: str) -> str:
    """The environment variable of a field of :class:`Settings`."""
    return PREFIX + field.upper()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from the environment; an empty variable counts as not set. Raises :class:`SettingsError`."""
    values = {name: value for name in Settings.model_fields if (value := _value(environ, variable(name)))}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(joined(map(_readable, problems_of(error)), "\n")) from None


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none: most likely a typing error."""
    known = {variable(name) + suffix for name in Settings.model_fields for suffix in ("", FILE_SUFFIX)}
    strangers = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    # Without the prefix, which all have in common: it would make any two look alike.
    names = [name.removeprefix(PREFIX) for name in known]
    near = {name: difflib.get_close_matches(name.removeprefix(PREFIX), names, 1, _ALIKE) for name in strangers}
    return [
        say("{name} is not a setting; did you mean {near}?", name=name, near=PREFIX + near[name][0])
        if near[name]
        else say("{name} is not a setting", name=name)
        for name in strangers
    ]


def _value(environ: Mapping[str, str], name: str) -> str | None:
    direct, path = environ.get(name), environ.get(name + FILE_SUFFIX)
    if direct and path:
        raise SettingsError(say("{one} and {other} are both set; keep one of them", one=name, other=name + FILE_SUFFIX))
    if not path:
        return direct
    try:
        return read_plain(Path(path), _FILE_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            say(
                "{setting}: cannot read {path}: {cause}",
                setting=name + FILE_SUFFIX,
                path=path,
                cause=error.strerror if isinstance(error, OSError) else say("not UTF-8 text"),
            )
        ) from None


def _readable(problem: Problem) -> str:
    """With the variable, which the reader set, and not the field. What concerns two of them names both itself."""
    if not problem.path:
        return problem.message
    return say("{setting}: {problem}", setting=variable(problem.path), problem=problem.message)
