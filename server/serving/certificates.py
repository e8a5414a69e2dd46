"""Certificate and key of the public listener: checked, and handed to nginx as copies that were seen to fit each other.

The copies are in memory (memfd): nginx inherits them, reads them at its start and at every reload, and nothing of the key is left
on a disk. A renewal writes two files one after the other; nginx never sees the moment between.
"""

from __future__ import annotations

import os
import ssl
from contextlib import closing
from pathlib import Path

import structlog

from contracts.text import say
from server.plain_file import read_plain
from server.settings import variable

_log = structlog.get_logger(__name__)
_PEM_BYTES = 1024 * 1024


class TlsUnusable(Exception):
    """Certificate and key cannot be used; the text names the variable and the fix."""


class Certificates:
    """``certificate`` and ``key`` are the descriptors. Raises :class:`TlsUnusable` when the files cannot be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._seen = self._stamps()
        self.certificate, self.key = _in_memory(), _in_memory()
        try:
            self._take()
        except TlsUnusable:
            self.close()
            raise

    def renewed(self) -> bool:
        """Whether other files were taken since the last call. Files that cannot be used are told in the log and not taken."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self._take()
        except TlsUnusable as error:
            _log.error(
                "certificate_not_taken",
                cause=str(error),
                message="The new certificate was not taken; the previous one stays in use.",
            )
            return False
        _log.info("certificate_taken", certificate=str(self._files[0]))
        return True

    def close(self) -> None:
        os.close(self.certificate)
        os.close(self.key)

    def _take(self) -> None:
        pems = [_read(name, path) for name, path in zip(("tls_certificate", "tls_key"), self._files, strict=True)]
        _check(pems, *self._files)
        for descriptor, pem in zip((self.certificate, self.key), pems, strict=True):
            _write(descriptor, pem)

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(path) for path in self._files]


def check(certificate: Path, key: Path) -> None:
    """Raises :class:`TlsUnusable` when they cannot be used."""
    Certificates(certificate, key).close()


def _read(name: str, path: Path) -> bytes:
    try:
        return read_plain(path, _PEM_BYTES)
    except OSError as error:
        raise TlsUnusable(
            say(
                "{setting}: cannot read {path}: {cause}; check the path, and the owner and mode of the file",
                setting=variable(name),
                path=path,
                cause=error.strerror,
            )
        ) from None


def _check(pems: list[bytes], certificate: Path, key: Path) -> None:
    """Whether OpenSSL takes them together, by copies of their own: what is in use stays as it is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with closing(_Copy(pems[0])) as first, closing(_Copy(pems[1])) as second:
        try:
            context.load_cert_chain(first.path, second.path, password=_no_passphrase)
        except ssl.SSLError as error:
            if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
                name, cause = (
                    "tls_key",
                    say("{key} is not the key of the certificate {certificate}", key=key, certificate=certificate),
                )
            elif not _is_certificate(pems[0]):
                name, cause = (
                    "tls_certificate",
                    say("{certificate} is not a certificate in PEM", certificate=certificate),
                )
            else:
                name, cause = "tls_key", say("{key} is not a private key in PEM", key=key)
            raise TlsUnusable(
                say(
                    "{setting}: {cause}; give the certificate with its intermediates, and the key that it was made for",
                    setting=variable(name),
                    cause=cause,
                )
            ) from None


def _is_certificate(pem: bytes) -> bool:
    try:
        ssl.create_default_context().load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        return False
    return True


class _Copy:
    def __init__(self, content: bytes) -> None:
        self._descriptor = _in_memory()
        self.path = path_of(self._descriptor)
        _write(self._descriptor, content)

    def close(self) -> None:
        os.close(self._descriptor)


def path_of(descriptor: int) -> str:
    """Where a process that has the descriptor opens it."""
    return f"/proc/self/fd/{descriptor}"


def _in_memory() -> int:
    return os.memfd_create("flagee-tls")


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _no_passphrase() -> str:
    """Called only for a key that has one. Without this, OpenSSL would ask on the terminal, and a service would wait for ever."""
    raise TlsUnusable(
        say(
            "{setting}: the key is encrypted with a passphrase; write it without one, readable by the service "
            "only: openssl pkey -in KEY -out NEW_KEY",
            setting=variable("tls_key"),
        )
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
