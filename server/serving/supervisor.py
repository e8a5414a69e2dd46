"""What `flagee-server serve` is: two programs that are kept running, nginx in front and gunicorn behind it on a UNIX socket.

    callers ── TCP, TLS ──> nginx ── UNIX socket ──> gunicorn's workers (gevent) ── Flask

Both sockets are made here and inherited, so a child that died and is started again finds the callers that came meanwhile.
SIGTERM and SIGINT let requests at work finish, a second one does not wait; SIGHUP takes renewed certificates and starts fresh
workers. When this process is killed, the kernel ends the children. Without nginx gunicorn stands alone, on loopback only.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import structlog

from contracts.text import say
from server.serving import listeners, nginx, run_folder
from server.serving.certificates import Certificates, TlsUnusable
from server.serving.child import Child, Program
from server.serving.limits import no_core_dumps, raise_file_limit
from server.serving.nginx_log import NginxLog
from server.settings import Settings, variable

_log = structlog.get_logger(__name__)
_START_S = 60.0
_GUNICORN_S = 15.0
_WATCH_S = 2.0  # between two looks at the certificate's files
_SHORT_S = 0.05
_FOLDER_BYTES = 100  # the address of a UNIX socket has at most 107
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class StartFailed(Exception):
    """It did not come to serving anybody; the text says why and what to do."""


def supervise(settings: Settings) -> None:
    """Serve until asked to stop. Raises StartFailed; nothing is left behind then."""
    with ExitStack() as stack:
        try:
            program = nginx.find_program(settings)
            listener = stack.enter_context(listeners.public(settings.bind))
            if program is None:
                require_loopback(settings, listener)
            folder = _run_folder(stack)
            serving = _Serving(settings, listener, folder, program, stack)
        except (listeners.CannotListen, nginx.NotThere, TlsUnusable, ValueError, OSError) as error:
            raise StartFailed(str(error)) from None
        stack.callback(serving.kill)
        serving.run()


def require_loopback(settings: Settings, listener: socket.socket) -> None:
    """Without nginx nobody from outside is let in. Raises StartFailed with what to install."""
    missing = (
        say("nginx is switched off by {setting}=none", setting=variable("nginx"))
        if settings.nginx == "none"
        else say("nginx was not found on this machine")
    )
    install = say(
        "install it (Debian, Ubuntu: apt-get install nginx) or set {setting} to its path", setting=variable("nginx")
    )
    if settings.tls_certificate:
        raise StartFailed(
            say("{missing}, and TLS is nginx's part of the work; {install}", missing=missing, install=install)
        )
    if not listeners.serves_loopback(listener):
        raise StartFailed(
            say(
                "{missing}; without it only a loopback address is served, because nothing else here limits what "
                "strangers do; {install}, or bind 127.0.0.1",
                missing=missing,
                install=install,
            )
        )
    _log.warning(
        "serving_without_nginx", message=f"{missing}; only this machine is served. {install[0].upper()}{install[1:]}."
    )


def _run_folder(stack: ExitStack) -> Path:
    """Raises StartFailed where there is none that can hold the sockets."""
    try:
        folder = run_folder.make(stack)
    except OSError as error:
        raise StartFailed(
            say(
                "there is no folder to write to: {cause}; set TMPDIR to one, or mount a tmpfs on /tmp",
                cause=error.strerror,
            )
        ) from None
    if len(os.fsencode(folder)) > _FOLDER_BYTES or not nginx.is_plain(str(folder)):
        raise StartFailed(
            say(
                "{folder} cannot hold the sockets of serve: its path is too long or unusual; set TMPDIR to "
                "another folder",
                folder=folder,
            )
        )
    return folder


class _Serving:
    """The children and the loop around them."""

    def __init__(
        self, settings: Settings, listener: socket.socket, folder: Path, program: str | None, stack: ExitStack
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._folder = folder
        self._signals: list[int] = []
        self._has_started = False  # before, a part that gets SIGHUP would end by it
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._catch_signals(stack)
        raise_file_limit()
        no_core_dumps()
        self._ready, self._ready_here = os.pipe()
        stack.callback(os.close, self._ready)
        stack.callback(os.close, self._ready_here)
        os.set_blocking(self._ready, False)
        self._application: socket.socket | None = None
        self._gunicorn = Child("gunicorn", self._gunicorn_program)
        self._nginx: Child | None = None
        self._certificates: Certificates | None = None
        if program:
            if settings.tls_certificate and settings.tls_key:
                self._certificates = Certificates(settings.tls_certificate, settings.tls_key)
                stack.callback(self._certificates.close)
            self._log = stack.enter_context(NginxLog(folder, self._selector))
            (folder / "nginx.conf").write_text(nginx.render(settings, folder, listener, self._certificates), "utf-8")
            self._nginx = Child("nginx", lambda: self._nginx_program(program))

    def run(self) -> None:
        """Until it was asked to stop."""
        if self._start():
            self._has_started = True
            _log.info("serving", address=nginx.address(self._listener), nginx=self._nginx is not None, pid=os.getpid())
            self._keep_running()
        self._stop()

    def _keep_running(self) -> None:
        watched = time.monotonic()
        while not self._asked_to_stop():
            now = time.monotonic()
            wait = self._gunicorn.keep(now)
            if self._nginx:
                wait = min(wait, self._nginx.keep(now))
            if self._certificates and now - watched >= _WATCH_S:
                watched = now
                self._reload_certificates()
            self._round(min(wait, _WATCH_S) if self._certificates else wait)

    def kill(self) -> None:
        """The last resort, and what ends a start that failed."""
        for child in self._children():
            child.kill()

    def _start(self) -> bool:
        """False when it was asked to stop meanwhile."""
        self._started(self._gunicorn)
        if not self._wait("gunicorn", self._gunicorn, lambda: bool(_read(self._ready))):
            return False
        if self._nginx is None:
            return True
        self._started(self._nginx)
        return self._wait("nginx", self._nginx, (self._folder / "nginx.pid").exists)

    @staticmethod
    def _started(child: Child) -> None:
        try:
            child.start()
        except OSError as error:
            raise StartFailed(
                say(
                    "{name} cannot be started: {file}: {cause}",
                    name=child.name,
                    file=error.filename,
                    cause=error.strerror,
                )
                if child.name != "nginx"
                else say(
                    "{name} cannot be started: {file}: {cause}; correct {setting}",
                    name=child.name,
                    file=error.filename,
                    cause=error.strerror,
                    setting=variable("nginx"),
                )
            ) from None

    def _wait(self, name: str, child: Child, ready: Callable[[], bool]) -> bool:
        """False when it was asked to stop before it was ready."""
        until = time.monotonic() + _START_S
        while not ready():
            status = child.exit_status()
            if status is not None:
                self._round(0)  # its last words
                raise StartFailed(
                    say(
                        "{name} ended with {status} at its start; {why}", name=name, status=status, why=self._why(child)
                    )
                )
            if time.monotonic() > until:
                raise StartFailed(
                    say(
                        "{name} was not ready within {seconds} s; the log says how far it came",
                        name=name,
                        seconds=f"{_START_S:g}",
                    )
                )
            if self._asked_to_stop():
                return False
            self._round(_SHORT_S)
        return True

    def _why(self, child: Child) -> str:
        if child is self._nginx and self._log.silent:
            return say(
                "{program} does not seem to be nginx; correct {setting}",
                program=self._settings.nginx,
                setting=variable("nginx"),
            )
        return say("its lines in the log say why")

    def _stop(self) -> None:
        """Nginx first: it finishes what callers have begun, and needs the application for it."""
        _log.info("stopping", message="Requests at work are finished first.")
        self._listener.close()
        if self._nginx:
            self._gunicorn.signal(signal.SIGUSR1)  # answers without an end would be waited for in vain
            self._end(self._nginx, signal.SIGQUIT, signal.SIGTERM, nginx.DRAIN_S + 2)
        self._end(self._gunicorn, signal.SIGTERM, signal.SIGQUIT, _GUNICORN_S)
        _log.info("stopped")

    def _end(self, child: Child, gently: signal.Signals, quickly: signal.Signals, seconds: float) -> None:
        hurried = self._asked_to_stop()
        child.signal(quickly if hurried else gently)
        until = time.monotonic() + seconds
        while child.exit_status() is None:
            if time.monotonic() > until:
                _log.warning(
                    "part_killed", part=child.name, seconds=seconds, message=f"{child.name} did not end in time."
                )
                child.kill()
                return
            if not hurried and self._asked_to_stop():
                hurried = True
                child.signal(quickly)
            self._round(_SHORT_S)

    def _round(self, wait: float) -> None:
        """Wait for a signal, a line of nginx, or the time; hand on what came."""
        for key, _ in self._selector.select(max(0.0, wait)):
            key.data()

    def _asked_to_stop(self) -> bool:
        """Takes what signals came. True for each request to stop, once."""
        stop = False
        while self._signals:
            match self._signals.pop(0):
                case signal.SIGTERM | signal.SIGINT:
                    stop = True
                case signal.SIGHUP if not self._has_started:
                    _log.info("reload_not_needed", message="It is still starting, with what is there now.")
                case signal.SIGHUP:
                    _log.info("reloading", message="Certificates are read again, and workers are replaced.")
                    self._reload_certificates()
                    self._gunicorn.signal(signal.SIGHUP)
        return stop

    def _reload_certificates(self) -> None:
        if self._nginx and self._certificates and self._certificates.renewed():
            self._nginx.signal(signal.SIGHUP)

    def _gunicorn_program(self) -> Program:
        inherited = self._listener
        if self._nginx:
            inherited = self._application_socket()
        environ = {
            **os.environ,
            "SERVE_DESCRIPTOR": str(inherited.fileno()),
            "SERVE_READY": str(self._ready_here),
            "SERVE_BEHIND_NGINX": "1" if self._nginx else "",
        }
        arguments = [sys.executable, "-m", "server.serving.gunicorn", "-c", "python:server.serving.gunicorn_conf"]
        # SIGQUIT ends gunicorn at once: when `serve` was killed, nobody waits for its answers.
        return Program(arguments, environ, (inherited.fileno(), self._ready_here), orphaned=signal.SIGQUIT)

    def _application_socket(self) -> socket.socket:
        """Gunicorn removes the file at a stop of its own."""
        path = self._folder / "app"
        if self._application is None or not path.exists():
            if self._application:
                self._application.close()
            self._application = listeners.private(path)
        return self._application

    def _nginx_program(self, program: str) -> Program:
        (self._folder / "nginx.pid").unlink(missing_ok=True)
        inherited = [self._listener.fileno()]
        if self._certificates:
            inherited += [self._certificates.certificate, self._certificates.key]
        # NGINX names the sockets that it takes over, as it does from its predecessor in an update of its program.
        return Program(
            [program, "-c", str(self._folder / "nginx.conf"), "-p", str(self._folder)],
            {"PATH": os.defpath, "NGINX": f"{self._listener.fileno()};"},
            inherited,
            stderr=self._log.descriptor,
        )

    def _children(self) -> list[Child]:
        return [child for child in (self._nginx, self._gunicorn) if child]

    def _catch_signals(self, stack: ExitStack) -> None:
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
            stack.callback(end.close)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        self._selector.register(reader, selectors.EVENT_READ, lambda: _drain(reader))
        for number in _SIGNALS:
            signal.signal(number, lambda received, _: self._signals.append(received))


def _drain(reader: socket.socket) -> None:
    while True:
        try:
            if not reader.recv(4096):
                return
        except BlockingIOError:
            return


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 16)
    except BlockingIOError:
        return b""
