"""The runtime's environment, read once at start: frozen, typed, documented in docs/settings.md from the fields below.

``FLAGEEMONITOR_*`` names; the first generation's ``ARIUSMONITOR_*`` are read where the new one is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.bounded import whole
from contracts.secret import Secret

ROOT = "/flageemonitor"


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Paths and addresses. ``token`` is the text of ``FLAGEEMONITOR_TOKEN`` (first generation); the file is preferred.

    ``zone``: of the container's clock. ``web_proxies``: the usual variables as they are; they may contain a password.
    """

    config_path: Path
    data_path: Path
    network: str
    api_base: str
    config_url: str
    token_file: Path | None
    token: Secret | None
    agent_id: str
    runtime_name: str
    ca_path: str
    insecure: bool
    log_format: str
    run_mode: str
    watchtower_interval: int | None
    update_window: str = ""
    zone: str = "UTC"
    web_proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    channel_base: str = ""
    statsd: str = ""
    otlp: str = ""


_WEB_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")

# name -> what it is for; the order of docs/settings.md
NAMES: Mapping[str, str] = {
    "FLAGEEMONITOR_REDE": "Network code; asked of the control plane with ?rede= when set.",
    "FLAGEEMONITOR_API_BASE": "Base address of the control plane, for example https://control.example/api/ingest.",
    "FLAGEEMONITOR_CONFIG_URL": "Full address of the configuration; default: API base + /bot/config.",
    "FLAGEEMONITOR_CONFIG_PATH": "Folder of config_bot.json, token and their metadata (a path to the file is accepted).",
    "FLAGEEMONITOR_DATA_PATH": "Folder of the local state.",
    "FLAGEEMONITOR_TOKEN_FILE": "File that holds the token; default: `token` in the configuration folder.",
    "FLAGEEMONITOR_TOKEN": "The token itself; only read when there is no file.",
    "FLAGEEMONITOR_AGENT_ID": "Identity of this installation; default: made once and kept in the local state.",
    "FLAGEEMONITOR_RUNTIME_NAME": "Name of this runtime on its host.",
    "FLAGEEMONITOR_CA_PATH": "Private CA bundle for the control plane.",
    "FLAGEEMONITOR_INSECURE": "`plain-http` allows http to a host that is not loopback. Tokens then travel in clear text.",
    "FLAGEEMONITOR_LOG_FORMAT": "json or console; default: console on a terminal, else json.",
    "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "Seconds between Watchtower's polls, to tell when it is silent. Set by deploy.",
    "FLAGEEMONITOR_UPDATE_WINDOW": "When Watchtower may update, such as 02:00-05:00 in TZ; at any time without it.",
    "FLAGEEMONITOR_STATSD": "Where business events and figures go as well: statsd://host:8125, or dogstatsd://host:8125 with "
    "tags and events. Default: nowhere.",
    "FLAGEEMONITOR_OTLP": "The same as OTLP/HTTP logs and metrics, to /v1/logs and /v1/metrics below this address: "
    "https://collector:4318.",
    "HTTPS_PROXY": "HTTP proxy for https addresses, also as https_proxy. Set by deploy, without a login: that is in "
    "`proxy_logins.json` of the configuration folder, by host:port.",
    "HTTP_PROXY": "The same for http addresses.",
    "NO_PROXY": "Hosts that are asked without an HTTP proxy, besides this one. Set by deploy.",
    "FLAGEEMONITOR_INVOCATION": "UUID that becomes the id of a run by hand, so that the host's wrapper can cancel it.",
    "FLAGEEMONITOR_ACTOR": "Who asks for a run by hand, for the record; the host's wrapper sets it. No proof of identity.",
    "RUN_MODE": "daemon, or candidate: a new image on trial, which schedules, fetches and delivers nothing. Set by deploy.",
}


def read_settings(environ: Mapping[str, str]) -> RuntimeSettings:
    """Never fails: what a value means is checked where it is used, with advice."""

    def get(name: str, default: str = "", legacy: str = "") -> str:
        names = (f"FLAGEEMONITOR_{name}", f"ARIUSMONITOR_{legacy or name}")
        return next((environ[key].strip() for key in names if environ.get(key, "").strip()), default)

    config_path = Path(get("CONFIG_PATH", f"{ROOT}/config"))
    if config_path.suffix == ".json":
        config_path = config_path.parent  # first generation named the file
    api_base = get("API_BASE", legacy="API_URL").rstrip("/")
    token_file = get("TOKEN_FILE")
    default_token_file = config_path / "token"
    token = get("TOKEN")
    interval = get("WATCHTOWER_INTERVAL")
    if not token_file and (default_token_file.exists() or not token):
        token_file = str(default_token_file)
    return RuntimeSettings(
        config_path=config_path,
        data_path=Path(get("DATA_PATH", f"{ROOT}/data")),
        network=get("REDE"),
        api_base=api_base,
        config_url=get("CONFIG_URL", f"{api_base}/bot/config" if api_base else ""),
        token_file=Path(token_file) if token_file else None,
        token=Secret(token) if token else None,
        agent_id=get("AGENT_ID"),
        runtime_name=get("RUNTIME_NAME", "flageemonitor"),
        ca_path=get("CA_PATH"),
        insecure=get("INSECURE") == "plain-http",
        log_format=get("LOG_FORMAT"),
        run_mode=environ.get("RUN_MODE", "").strip() or "daemon",
        watchtower_interval=whole(interval),
        update_window=get("UPDATE_WINDOW"),
        zone=environ.get("TZ", "").strip() or "UTC",
        web_proxies={key: environ[key] for name in _WEB_PROXIES for key in (name.lower(), name) if environ.get(key)},
        statsd=get("STATSD"),
        otlp=get("OTLP"),
        channel_base=_channel_base(api_base or get("CONFIG_URL")),
    )


def _channel_base(address: str) -> str:
    """What `/v1/…` stands below: the control plane's address without the paths that the first generation knew."""
    base = address.partition("?")[0]
    for path in ("/bot/config", "/api/ingest"):
        base = base.rstrip("/").removesuffix(path)
    return base
