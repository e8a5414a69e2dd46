"""TLS of the server itself, where no reverse proxy does it. Checked by ``serve``, used by :mod:`server.gunicorn_conf`."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from server.plain_file import read_plain
from server.settings import variable

_log = structlog.get_logger("server.tls")
_PEM_BYTES = 1024 * 1024


class TlsUnusable(Exception):
    """Certificate and key cannot be used; the text names the variable and the fix."""


class Certificates:
    """The context for new connections. Files that were renewed are taken without a restart; broken ones are not.

    Raises :class:`TlsUnusable` when they cannot be used at the start.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._seen = self._stamps()
        self._context = _load(certificate, key)

    def context(self) -> ssl.SSLContext:
        """Called for every connection, by one thread a process."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._context = _load(*self._files)
                _log.info("new certificate taken", certificate=str(self._files[0]))
            except TlsUnusable as error:
                _log.error("new certificate not taken, the one before stays in use", cause=str(error))
        return self._context

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(path) for path in self._files]


def _load(certificate: Path, key: Path) -> ssl.SSLContext:
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            read_plain(path, _PEM_BYTES)
        except OSError as error:
            raise TlsUnusable(
                f"{variable(name)}: cannot read {path}: {error.strerror}; check the path, and the owner and mode of the file"
            ) from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        cause = {
            "KEY_VALUES_MISMATCH": f"{key} is not the key of the certificate {certificate}",
            "KEY_TYPE_MISMATCH": f"{key} is not the key of the certificate {certificate}",
        }.get(error.reason or "", f"{certificate} and {key} are not a certificate and its key in PEM ({error.reason})")
        raise TlsUnusable(
            f"{variable('tls_certificate')}, {variable('tls_key')}: {cause}; "
            "give the certificate with its intermediates, and the key that it was made for"
        ) from None
    return context


def _no_passphrase() -> str:
    """Called only for a key that has one. Without this, OpenSSL would ask on the terminal, and a service would wait for ever."""
    raise TlsUnusable(
        f"{variable('tls_key')}: the key is encrypted with a passphrase; write it without one, readable by the service only: "
        "openssl pkey -in KEY -out NEW_KEY"
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
