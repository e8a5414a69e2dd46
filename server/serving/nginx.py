"""nginx as the public listener: its program and its configuration. Used by :mod:`server.serving.supervisor`."""

from __future__ import annotations

import os
import re
import shutil
import socket
from importlib import resources
from pathlib import Path

from contracts.text import say
from contracts.visible import quoted
from server.reasons.problem import CONTENT_TYPE, CORRELATION_HEADER, problem_body
from server.services.installer.error_script import FORMS, Form, error_script
from server.serving.certificates import Certificates, path_of
from server.serving.refusals import ALL, EarlyRefusal
from server.settings import Settings, variable

DRAIN_S = 10
_CONNECTIONS = 8192
_PROCESSES = 4
_BACKLOG = 2048
# By an address and not by a name: a request line that could not be read has no address to be redirected from.
_PLACE = "/.refused/"
_CORRELATION = "@@CORRELATION@@"
_DOLLAR = "${dollar}"  # in nginx.conf: a text that nginx answers with cannot hold the character otherwise
_TOKEN_BYTES = 4096  # the longest word of a configuration
_SYSTEM = f"/usr/sbin:/usr/local/sbin:{os.defpath}"  # an account's PATH often lacks sbin
_NAME = re.compile(r"\{\{([a-z_]+)\}\}")
_SAFE = re.compile(r"[A-Za-z0-9._/\[\]:-]+")


class NotThere(Exception):
    """A program that was named as nginx is not one; the text says what to do."""


def find_program(settings: Settings) -> str | None:
    """Path of nginx; None where it is switched off, or not installed and not asked for. Raises NotThere."""
    if settings.nginx == "none":
        return None
    found = shutil.which(settings.nginx) or shutil.which(settings.nginx, path=_SYSTEM)
    if found is None and "nginx" in settings.model_fields_set:
        raise NotThere(
            say(
                "{setting}: {program} is not a program that can be started here; give the name or path of nginx "
                "without arguments (Debian, Ubuntu: apt-get install nginx), or unset {setting}, or set it to "
                "none: then only a loopback address is served",
                setting=variable("nginx"),
                program=quoted(settings.nginx),
            )
        )
    return found


def render(settings: Settings, folder: Path, listener: socket.socket, certificates: Certificates | None) -> str:
    """The whole configuration."""
    values = {
        "folder": _plain(str(folder)),
        "user": "user root;" if os.geteuid() == 0 else "",
        "processes": str(min(_PROCESSES, os.cpu_count() or 1)),
        "drain": str(DRAIN_S),
        "connections": str(_CONNECTIONS),
        "log_formats": "".join(_log_format(refused, folder) for refused in ALL),
        "zones": "" if settings.trusted_proxies else _zones(settings),
        "listen": f"{_plain(address(listener))} backlog={_BACKLOG}{' ssl' if certificates else ''}",
        "tls": _tls(certificates) if certificates else "",
        "errors": "".join(
            f"        error_page {' '.join(map(str, refused.codes))} ={refused.status} {_PLACE}{refused.reason}$refused_as;\n"
            for refused in ALL
            if refused.codes
        ),
        "limits": "" if settings.trusted_proxies else _limits(settings),
        "forwarded": "".join(
            f'            proxy_set_header {name} "";\n'
            for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
            if not settings.trusted_proxies
        ),
        "installers": "".join(
            f'        "~{path.replace(".", "[.]")}([?]|$)" /{form.suffix};\n' for path, form in FORMS.items()
        ),
        "answers": "".join(_answer(refused, folder, form) for refused in ALL for form in (None, *FORMS.values())),
    }
    template = resources.files("server.serving").joinpath("nginx.conf").read_text(encoding="utf-8")
    return _NAME.sub(lambda found: values[found[1]] if found[1] != "names" else found[0], template)


def address(listener: socket.socket) -> str:
    """``host:port`` of a bound socket, as nginx and people write it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"


def is_plain(text: str) -> bool:
    """Whether it may stand in a configuration of nginx as it is."""
    return _SAFE.fullmatch(text) is not None


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError(say("{text} cannot stand in a configuration of nginx", text=text))
    return text


def _zones(settings: Settings) -> str:
    return (
        "    limit_conn_zone $caller zone=at_work:10m;\n"
        f"    limit_req_zone $caller zone=rate:10m rate={settings.address_rate}r/s;\n"
        "    limit_conn_status 429;\n"
        "    limit_req_status 429;\n"
        "    limit_conn_log_level info;\n"
        "    limit_req_log_level info;\n"
    )


def _limits(settings: Settings) -> str:
    return (
        f"        limit_conn at_work {settings.address_requests};\n"
        f"        limit_req zone=rate burst={2 * settings.address_rate} nodelay;\n"
    )


def _tls(certificates: Certificates) -> str:
    return (
        f"        ssl_certificate {path_of(certificates.certificate)};\n"
        f"        ssl_certificate_key {path_of(certificates.key)};\n"
        "        ssl_protocols TLSv1.2 TLSv1.3;\n"
        "        ssl_session_cache shared:tls:10m;\n"
        "        ssl_session_timeout 1h;\n"
    )


def _log_format(refused: EarlyRefusal, folder: Path) -> str:
    fields = f'{{"status":{refused.status},"reason":"{refused.reason}","correlation_id":"$correlation","address":"$remote_addr"}}'
    return f"    log_format {refused.reason} escape=json '{fields}';\n"


def _answer(refused: EarlyRefusal, folder: Path, form: Form | None) -> str:
    """``form``: where an installer was asked for."""
    if form is None:
        place, content_type = refused.reason, CONTENT_TYPE
        body = problem_body(refused.status, refused.reason, refused.detail, _CORRELATION).decode()
    else:
        place, content_type = f"{refused.reason}/{form.suffix}", form.content_type
        body = error_script(form, refused.row, refused.status, _CORRELATION, {})
    more = {"Retry-After": refused.retry_after, "Allow": refused.allow}
    headers = "".join(f'            add_header {name} "{value}" always;\n' for name, value in more.items() if value)
    return (
        f"        location = {_PLACE}{place} {{\n"
        "            internal;\n"
        f"            access_log syslog:server=unix:{folder}/log,nohostname {refused.reason};\n"
        f'            default_type "{content_type}";\n'
        f"            add_header {CORRELATION_HEADER} $correlation always;\n"
        f"            add_header Cache-Control no-store always;\n{headers}"
        f"            return {refused.status} {_quoted(body)};\n"
        "        }\n"
    )


def _quoted(body: str) -> str:
    """As a word of the configuration in which nginx puts the correlation id."""
    escaped = body.replace("\\", "\\\\").replace("'", "\\'").replace("$", _DOLLAR).replace(_CORRELATION, "$correlation")
    if len(escaped.encode()) >= _TOKEN_BYTES:
        raise ValueError(f"a text of {len(escaped)} characters is too long for a configuration of nginx")
    return f"'{escaped}'"
