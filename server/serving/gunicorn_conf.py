"""Gunicorn's configuration, from our settings: ``python -m server.serving.gunicorn -c python:server.serving.gunicorn_conf``.

``SERVE_…`` come from the supervisor: the socket to take over, where to say that it is ready, and whether nginx stands in front.
Without them (benchmarks) gunicorn listens itself.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from contracts.bounded import whole
from server.serving import parsing
from server.serving.limits import connections
from server.serving.worker import Logger, Worker
from server.settings import read_settings

_settings = read_settings(os.environ)
parsing.install(behind_nginx=bool(os.environ.get("SERVE_BEHIND_NGINX")))
_descriptor = os.environ.get("SERVE_DESCRIPTOR")
_ready = whole(os.environ.get("SERVE_READY"))

wsgi_app = "server.serving.front:load()"
bind = f"fd://{_descriptor}" if _descriptor else _settings.bind
workers = _settings.workers
worker_class = Worker
worker_connections = connections()
logger_class = Logger
# Loaded once and shared by all workers: less memory, and a wrong setting ends the start instead of every worker.
preload_app = True
limit_request_fields = parsing.HEADERS + 10  # with nginx's own; the parser counts the caller's
keepalive = 75  # longer than nginx keeps a connection to us, so that it never writes into a closing one
timeout = 60
graceful_timeout = 10
backlog = 2048
# Forwarded headers are read in one place, behind FLAGEE_TRUSTED_PROXIES; on a UNIX socket gunicorn would believe every caller.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
proc_name = "flagee-server"
# The worker's heartbeat is a file: on a slow disk it would stop the worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def when_ready(_: Any) -> None:
    """What was loaded stays as long as the process: the collector need not go through it in every worker, nor touch pages that
    workers share."""
    gc.collect()
    gc.freeze()


def post_worker_init(_: Any) -> None:
    if _ready is not None:
        os.write(_ready, b".")


def worker_exit(_: Any, worker: Any) -> None:
    """Write what the worker still has in memory."""
    close = getattr(worker.wsgi, "close", None)
    if close:
        close()
