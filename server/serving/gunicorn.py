"""``python -m server.serving.gunicorn``: gunicorn, in a process whose standard library is gevent's from the first import on.

Only here. It has to come before everything that keeps a reference to what is replaced (psycopg chooses by it how to wait), and it
must not happen in the command line, in `serve` itself, nor where gRPC is to live.
"""

from __future__ import annotations

from gevent import monkey

# Processes and signals stay gunicorn's own: it forks its workers and waits for them.
monkey.patch_all(os=False, signal=False, subprocess=False)

from gunicorn.app.wsgiapp import run  # noqa: E402

from contracts import core_dumps  # noqa: E402

if __name__ == "__main__":
    core_dumps.switch_off(hidden=True)  # workers are forked from here and stay as it is
    run(prog="gunicorn")
