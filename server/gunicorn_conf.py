"""Gunicorn's configuration, from our settings. Used by ``flagee-server serve`` as ``gunicorn -c python:server.gunicorn_conf``."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from server.context import EXTENSION
from server.serving import parsing
from server.settings import read_settings
from server.tls import Certificates
from server.worker import Logger, Worker

_settings = read_settings(os.environ)
parsing.install()

wsgi_app = "server.app:create_app()"
bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = Worker
logger_class = Logger
# Loaded once and shared by all workers: less memory, and a wrong setting ends the start instead of every worker.
preload_app = True
keepalive = 75  # longer than the usual reverse proxy's 60 s, so that it never writes into a closing connection
timeout = 60
graceful_timeout = 30
forwarded_allow_ips = ""  # forwarded headers are read in one place, behind FLAGEE_TRUSTED_PROXIES
proc_name = "flagee-server"
# The worker's heartbeat is a file: on a slow disk it would stop the worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

if _settings.tls_certificate and _settings.tls_key:
    certfile, keyfile = str(_settings.tls_certificate), str(_settings.tls_key)
    _certificates = Certificates(_settings.tls_certificate, _settings.tls_key)

    def ssl_context(_: Any, __: Any) -> ssl.SSLContext:
        """One context for all connections: gunicorn would read the files again for each."""
        return _certificates.context()


def worker_exit(_: Any, worker: Any) -> None:
    """Write what the worker still has in memory."""
    extensions = getattr(worker.wsgi, "extensions", {})
    if EXTENSION in extensions:
        extensions[EXTENSION].close()
