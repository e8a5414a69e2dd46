"""First-generation documents (``PARAM_*``) translated to schema version 2, without raising: what cannot be read is put
through, so that validation names it, or noted. Called by :func:`contracts.document.read_document`.

Which key goes where stands in :mod:`contracts.legacy_keys`. Blank counts as missing, and blanks around a text do not count, as in
the first generation. Top-level keys of schema 2 may stand beside the old ones (freeze, schedule, credentials …), which proxies of
the first generation do not see: :mod:`contracts.legacy_beside`.
"""

from __future__ import annotations

import re
from typing import Any

from contracts.config import NetworkConfig, Ssh
from contracts.legacy_beside import joined
from contracts.legacy_keys import CHECKOUT_STATUS, DEFAULT_JOBS, IMPLIED, KEYS, SHUTDOWN, DefaultJob
from contracts.legacy_values import UNKNOWN_KEY, Old, flag, given, listed, store, text, texts, whole, without_blanks
from contracts.notes import Note, NoteLevel
from contracts.text import all_of, say

_ROLLOUT = "PARAM_ROLLOUT_"
_ROOTS = frozenset(key.name.partition(".")[0] for key in KEYS)
_NEWER = frozenset(NetworkConfig.model_fields) - _ROOTS - {"schema_version"}
# Blanks belong to a password or an expression; an unreadable share is worth its note, so blank ones stay to be read.
_AS_WRITTEN = frozenset({"DB_PASS", "DB_PG_PASS", "DB_PASS_BI", "PDV_PARSING_RULE"})
_CLOSED_MAPS = ("shutdown_window", "logfiles", "log_rotation")
_TIMEZONE_KEYS = ("timezone", "localtime_target", "enable_ntp", "ntp_server", "force_timesyncd")
_SHIPPED_AUTHORITY = "certi_api.pem"
_ENABLE_SHUTDOWN = say(
    "to power checkouts off at night, write `schedule` in schema 2 with the job shutdown_endpoint enabled"
)


def is_first_generation(data: dict[str, Any]) -> bool:
    """A document without ``schema_version`` that carries a key of the first generation's own spelling."""
    return "schema_version" not in data and any(key.startswith("PARAM_") for key in data)


def translate(data: dict[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    """The document in schema 2, not validated yet, and what there is to say about every key that changed or went."""
    old = Old(_readable(data))
    _note_what_the_table_says(old)
    provider = old.get("PARAM_PROVIDER", old.get("provider"))
    provider = provider.strip().lower() if isinstance(provider, str) else provider
    new = {
        "schema_version": 2,
        "network": old.get("PARAM_REDE"),
        "provider": provider,
        "timezone": old.get("TIMEZONE"),
        "inventory": _inventory(old),
        "ssh": _ssh(old),
        "rollout": _rollout(old, provider),
        "overrides": old.get("PARAM_PROVIDER_ACTION_OVERRIDES"),
        "compatibility": _compatibility(old),
        "actions": _actions(old),
        "concentrators": _concentrators(old),
        "agent": _agent(old),
        "delivery": _delivery(old),
    }
    newer = {key: value for key, value in old.data.items() if key in _NEWER}
    new = joined(old, new, newer)
    if "schedule" not in newer:
        new["schedule"] = _schedule(old, new)
    return {key: value for key, value in new.items() if value is not None and value not in ({}, [])}, old.notes


def _readable(data: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for key, value in data.items():
        if key in _NEWER or key == "PARAM_PROVIDER_ROLLOUT" or key.startswith(_ROLLOUT):
            said = value
        elif key in _AS_WRITTEN:
            said = value if without_blanks(value) is not None else None
        else:
            said = without_blanks(value)
        if said is not None:
            result[key] = said
    return result


def origin(path: str) -> str | None:
    """The first-generation key that a path of schema 2 was translated from; None where there is none."""
    plain = re.sub(r"\[\d+\]", "[]", path)
    for key in KEYS:
        for target in key.to.split(", "):
            if target and (plain == target or plain.startswith((f"{target}.", f"{target}["))):
                return key.name
    return None


def _note_what_the_table_says(old: Old) -> None:
    for key in KEYS:
        level = key.note or (None if key.to else "info")
        if level is not None and old.has(key.name):
            old.note(level, key.name, key.text if key.to else say("dropped: {reason}", reason=key.text))
    for key in IMPLIED:
        if not old.has(key.to) and key.to.partition(".")[0] not in _NEWER & old.data.keys():
            old.note(key.note or "info", key.to, key.text)
    for name in old.data:
        if name not in _ROOTS | _NEWER and not name.startswith(_ROLLOUT):
            old.note("warning", name, UNKNOWN_KEY)
    known = {key.name for key in KEYS}
    for name in _CLOSED_MAPS:
        inner = old.get(name)
        for key in inner if isinstance(inner, dict) else ():
            if f"{name}.{key}" not in known:
                old.note("warning", f"{name}.{key}", UNKNOWN_KEY)


def _inventory(old: Old) -> dict[str, Any]:
    return {
        "kind": "zabbix",
        "notes_credentials": True,
        **given(
            url=old.url("PARAM_ZABBIX_SERVER", "/api_jsonrpc.php"),
            token=old.get("PARAM_TOKEN"),
            exclude_templates=texts(old.get("EXCLUDE_TEMPLATE_IDS")),
        ),
    }


def _ssh(old: Old) -> Any:
    if not isinstance(old.get("ssh", {}), dict):
        return old.get("ssh")
    result = {}
    for name, value in old.map("ssh").items():
        if name in Ssh.model_fields:
            result[name] = value
        elif name != "timeout":
            old.note("warning", f"ssh.{name}", UNKNOWN_KEY)
    if old.has("ssh.timeout"):
        seconds = whole(old.get("ssh")["timeout"])
        odd = old.get("ssh")["timeout"]
        result.setdefault("connect_timeout", odd if seconds is None else max(30, min(seconds, 120)))
        result.setdefault("command_timeout", odd if seconds is None else max(60, min(seconds, 3600)))
    threads = old.get("max_threads")
    if threads is not None:
        held = old.held("max_threads", threads, 1, 512)
        result.setdefault("parallel", threads if held is None else held)
    return result


def _rollout(old: Old, provider: Any) -> dict[str, Any]:
    shares = old.get("PARAM_PROVIDER_ROLLOUT", {})
    if isinstance(shares, dict):
        asked = {name.strip().lower(): (f"PARAM_PROVIDER_ROLLOUT.{name}", share) for name, share in shares.items()}
    else:
        # Other providers keep their default of 0: a number must never open more than it says.
        names = ["arius", provider] if isinstance(provider, str) else ["arius"]
        asked = dict.fromkeys(names, ("PARAM_PROVIDER_ROLLOUT", shares))
    for key, share in old.data.items():
        if key.startswith(_ROLLOUT):
            asked[key.removeprefix(_ROLLOUT).strip().lower()] = (key, share)
    result = {}
    for name, (key, share) in asked.items():
        percent = old.held(key, share, 0, 100)
        default = 100 if name == "arius" else 0
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            old.note("warning", key, say("names no provider; ignored"))
        elif percent is not None:
            result[name] = {"percent": percent}
        elif share is not None:
            level: NoteLevel = "danger" if default else "warning"
            old.note(
                level,
                key,
                say("is not a number: the default of {name} holds, {default} percent", name=name, default=default),
            )
    return result


def _compatibility(old: Old) -> dict[str, Any]:
    mode = old.get("PARAM_COMPATIBILITY_MODE")
    if mode is None:
        return {}
    plain = mode.strip().lower() if isinstance(mode, str) else None
    if plain in ("off", "warn", "enforce"):
        return {"mode": plain}
    old.note("warning", "PARAM_COMPATIBILITY_MODE", say("is not off, warn or enforce: read as warn"))
    return {"mode": "warn"}


def _actions(old: Old) -> dict[str, Any]:
    params = {
        "update_endpoint_timezone": _timezone(old),
        "shutdown_endpoint": _shutdown(old),
        "update_payment_client_config": given(template_dir=old.get("PARAM_CLISITEF_DIR")),
        "refresh_endpoint_printer": given(parsing_rule=old.get("PDV_PARSING_RULE")),
    }
    return {action: {"params": values} for action, values in params.items() if values}


def _timezone(old: Old) -> dict[str, Any]:
    result = given(
        timezone=old.get("TIMEZONE"),
        localtime_target=old.get("TIMEZONE_LOCALTIME_TARGET"),
        enable_ntp=old.get("NTP_ENABLE"),
        ntp_server=old.get("NTP_SERVER"),
    )
    settings = old.map("PDV_TIMEZONE_SETTINGS")
    for name in ("default", old.get("PARAM_REDE")):
        entry = settings.pop(name, {}) if isinstance(name, str) else {}
        path = f"PDV_TIMEZONE_SETTINGS.{name}"
        if not isinstance(entry, dict):
            old.note("warning", path, say("is not a map: ignored"))
            continue
        for key in entry:
            if key not in _TIMEZONE_KEYS:
                old.note("warning", f"{path}.{key}", UNKNOWN_KEY)
        result |= {key: entry[key] for key in _TIMEZONE_KEYS if entry.get(key) is not None}
    for name in settings:
        old.note("info", f"PDV_TIMEZONE_SETTINGS.{name}", say("dropped: another network's; it belongs in its document"))
    return result | {key: flag(result[key]) for key in ("enable_ntp", "force_timesyncd") if key in result}


def _shutdown(old: Old) -> dict[str, Any]:
    window = old.map("shutdown_window")
    written = [window.get("start", 22), window.get("end", 6)]
    hours = [hour for hour in map(whole, written) if hour is not None and 0 <= hour <= 23]
    if len(hours) < 2:
        old.note(
            "warning",
            "shutdown_window",
            say("is not a pair of hours from 0 to 23: shutdown_endpoint gets it as written"),
        )
        span = {"start": str(written[0]), "end": str(written[1])}
    else:
        start, end = hours[0], (hours[1] + 1) % 24  # the end hour was inclusive
        span = {"start": f"{start:02}:00", "end": f"{end:02}:00"}
        if start == end:
            old.note("danger", "shutdown_window", say("is the whole day: shutdown_endpoint may run in opening hours"))
            span = {"start": "00:00", "end": "23:59:59.999999"}
    return {"windows": [span], **given(exceptions=listed(old.get("shutdown_exception_ips")))}


def _schedule(old: Old, new: dict[str, Any]) -> list[dict[str, Any]]:
    switches = old.map("PARAM_CRON_ACTIONS")
    for name in switches:
        if name not in ("pdv_shutdown", "status_caixa"):
            old.note(
                "warning", f"PARAM_CRON_ACTIONS.{name}", say("had no effect and has none; write `schedule` in schema 2")
            )
    jobs = []
    for job in DEFAULT_JOBS:
        wanted = flag(switches.get("status_caixa", False)) if job is CHECKOUT_STATUS else job is not SHUTDOWN
        able = _has_what_it_needs(job, new)
        if wanted and job.changed:
            old.note("info", f"schedule[{job.action}]", job.changed)
        if wanted and not able:
            needs = all_of(job.needs)
            old.note("info", f"schedule[{job.action}]", say("translated switched off: it needs {needs}", needs=needs))
        entry = {"id": job.action, "action": job.action, "cron": job.cron, "enabled": wanted and able}
        jobs.append(entry | given(selector=dict(job.selector) or None))
    wish = switches.get("pdv_shutdown")
    if wish is None or flag(wish):
        if wish is None:
            note = say(
                "the nightly shutdown was on by default, but is translated switched off; {advice}",
                advice=_ENABLE_SHUTDOWN,
            )
        else:
            note = say(
                "the nightly shutdown is asked for here, but is translated switched off; {advice}",
                advice=_ENABLE_SHUTDOWN,
            )
        old.note("danger", "PARAM_CRON_ACTIONS.pdv_shutdown", note)
    return jobs


def _has_what_it_needs(job: DefaultJob, new: dict[str, Any]) -> bool:
    def has(path: str) -> bool:
        part, _, name = path.partition(".")
        value = new.get(part.removesuffix("[]"))
        return any(name in item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict))

    return all(has(path) for path in job.needs)


def _concentrators(old: Old) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key in ("PARAM_IP_CONCENTRADORES", "CONCENTRADORES"):
        for item in listed(old.get(key)) or ():
            entry = item if isinstance(item, dict) else {"ip": item}
            concentrator = found.setdefault(str(entry.get("ip")).strip(), given(address=entry.get("ip")))
            concentrator.update(given(store=store(entry.get("loja"))))
    databases = _databases(old)
    return [{**concentrator, **databases} for concentrator in found.values()]


def _databases(old: Old) -> dict[str, Any]:
    user, password = old.get("DB_USER"), old.get("DB_PASS")
    result = {}
    if user is not None and password is not None:
        result["mysql"] = {"user": user, "password": password, "name": old.get("DB_NAME", "controle")}
    elif user is not None or password is not None:
        old.note("warning", "DB_USER", say("dropped: DB_USER and DB_PASS come together, one is missing"))
    name = old.get("DB_PG_DB")
    user, password = old.get("DB_PG_USER", user), old.get("DB_PG_PASS", password)
    if name is not None and user is not None and password is not None:
        access = {"user": user, "password": password, "name": name}
        result["postgresql"] = access | given(port=old.get("DB_PG_PORT"))
    elif any(key.startswith("DB_PG_") for key in old.data):
        old.note("warning", "DB_PG_DB", say("dropped: reading PostgreSQL takes a user, a password and DB_PG_DB"))
    return result


def _agent(old: Old) -> dict[str, Any]:
    server = old.get("PARAM_PROXY_IP")
    if isinstance(server, str) and (server.strip().startswith("127.") or server.strip() in ("localhost", "::1")):
        old.note(
            "warning", "PARAM_PROXY_IP", say("dropped: with a loopback address every terminal would report to itself")
        )
        server = None
    return given(
        server=server,
        port=old.get("PARAM_ZABBIX_PORT"),
        assets_url=old.url("PARAM_REPO_URL"),
        assets_dir=old.get("PARAM_LOCAL_ASSET_DIR"),
        mirror_dir=old.get("PARAM_LOCAL_REPO_DIR"),
        zabbix_proxy=text(old.get("PARAM_ZABBIX_PROXYID")),
        templates=texts(old.get("PARAM_TEMPLATES")),
    )


def _delivery(old: Old) -> dict[str, Any]:
    result: dict[str, Any] = {}
    url, token = old.url("PARAM_BI_SERVER"), old.get("PARAM_TOKEN_BI")
    if url is not None and token is not None:
        authority = old.get("PARAM_BI_CERTI_PATH")
        if isinstance(authority, str) and authority.rpartition("/")[2] == _SHIPPED_AUTHORITY:
            authority = None
        company = old.get("PARAM_EMPRESA_ID")
        result["business_api"] = given(url=url, token=token, ca_path=authority, company_id=company)
    elif url is not None or token is not None:
        old.note(
            "warning",
            "PARAM_BI_SERVER",
            say("dropped: PARAM_BI_SERVER and PARAM_TOKEN_BI come together, one is missing"),
        )
    sender = old.get("PARAM_ZABBIX_SENDER_SERVER")
    if sender is not None:
        result["zabbix_trapper"] = given(address=sender, port=old.get("PARAM_ZABBIX_SENDER_PORT"))
        if sender in ("127.0.0.1", "localhost"):
            old.note(
                "warning", "PARAM_ZABBIX_SENDER_SERVER", say("is the proxy's own container; name the Zabbix proxy")
            )
    elif old.has("PARAM_ZABBIX_SENDER_PORT"):
        old.note("info", "PARAM_ZABBIX_SENDER_PORT", say("dropped: there is no PARAM_ZABBIX_SENDER_SERVER to send to"))
    return result
