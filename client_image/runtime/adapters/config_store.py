"""Where the network's configuration lives on this machine: the last valid document, where it came from, and its predecessors.

Called by every process that needs the configuration (load) and by the refresh, the only writer (replace, confirm). A folder,
never a single mounted file, so that a new document replaces the old one in one rename.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.bounded import MAX_BYTES, read_json
from contracts.document import Document, DocumentError, read_document
from contracts.text import joined, say
from runtime.adapters.state.files import locked, private_folder, read_plain, write_atomically
from runtime.domain.errors import NoConfiguration

FILE = "config_bot.json"
META = "config_bot.meta.json"
FETCHED = "config_bot.fetched"
_HEAD_BYTES = 2**17  # an ETag, as long as a header may be
KEPT = 3
_LOCK_WAIT_S = 30.0

ADVICE = say(
    "fetch one with `flageemonitor-update-config` (token, network and address of the control plane are in its environment), "
    "or see `flageemonitor-run doctor`"
)


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """A valid document from the store.

    ``etag``: what to ask the control plane with; None when the file is not, byte for byte, what came from there. ``fetched_at``:
    when this content arrived; ``checked_at``: when the control plane last said that it is current. ``warnings``: what an
    operator must know, such as a damaged file that was passed over. ``path``: the file that was read.
    """

    document: Document
    path: Path
    etag: str | None
    source: str
    fetched_at: dt.datetime | None
    checked_at: dt.datetime | None
    warnings: tuple[str, ...] = ()


class ConfigStore:
    """The folder ``/flageemonitor/config``. Blocks on the disk: not for the event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stamp(self) -> tuple[int, int, int] | None:
        """Differs when the current file was replaced; None without one. Costs one reading of the folder."""
        try:
            found = (self.folder / FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def load(self) -> StoredConfig:
        """The last valid document, read leniently; an older one when the newest file is damaged. Raises NoConfiguration."""
        warnings: list[str] = []
        for path in (self.folder / FILE, *self._previous()):
            try:
                raw = read_plain(path)
                document = read_document(raw, strict=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                warnings.append(say("{file} cannot be read: {why}", file=path, why=error.strerror))
                continue
            except DocumentError as error:
                warnings.append(
                    say("{file} is damaged ({reason}): {why}", file=path, reason=error.reason, why=str(error))
                )
                continue
            if warnings:
                warnings.append(say("using {file} instead", file=path))
            return self._stored(path, raw, document, tuple(warnings))
        if warnings:
            raise NoConfiguration("damaged_configuration", joined(warnings, "; "), ADVICE)
        raise NoConfiguration("no_configuration", say("there is no {file}", file=self.folder / FILE), ADVICE)

    def replace(self, raw: bytes, etag: str | None, *, source: str, now: dt.datetime) -> StoredConfig:
        """Make ``raw`` the current document, if it is valid. Raises DocumentError or OSError; the old one then stays.

        The document goes first: until the rest is written it is valid, and only its ETag is not believed.
        """
        document = read_document(raw, strict=False)
        private_folder(self.folder, ours=FILE)
        with locked(self.folder / ".lock", timeout=_LOCK_WAIT_S) as held:
            if held is None:
                raise TimeoutError(say("another process is writing {file}", file=self.folder / FILE))
            self._keep_previous(raw)
            write_atomically(self.folder / FILE, raw)
            self._write_meta({"etag": etag, "source": source, "fetched_at": now, "checked_at": now})
            write_atomically(self.folder / FETCHED, _as_fetched(etag, raw))
        return self._stored(self.folder / FILE, raw, document, ())

    def confirm(self, stored: StoredConfig, now: dt.datetime) -> None:
        """Note that the control plane called this document current. Raises OSError."""
        with locked(self.folder / ".lock", timeout=_LOCK_WAIT_S) as held:
            meta = self._meta()
            if held is not None and meta.get("etag") == stored.etag:
                self._write_meta({**meta, "checked_at": now})

    def _previous(self) -> tuple[Path, ...]:
        return tuple(self.folder / f"{FILE}.{number}" for number in range(1, KEPT + 1))

    def _keep_previous(self, raw: bytes) -> None:
        """Shift the kept versions by one. A current file that is not valid is no version worth keeping."""
        try:
            current = read_plain(self.folder / FILE)
            read_document(current, strict=False)
        except (OSError, DocumentError):
            return
        if current == raw:
            return
        previous = self._previous()
        for older, newer in zip(previous[:0:-1], previous[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        write_atomically(previous[0], current)

    def _stored(self, path: Path, raw: bytes, document: Document, warnings: tuple[str, ...]) -> StoredConfig:
        meta = self._meta()
        fetched = self._fetched() if path.name == FILE else None
        known = fetched == _as_fetched(meta.get("etag"), raw)
        if meta and fetched is not None and not known:
            warnings = (
                *warnings,
                say(
                    "{file} is not what was fetched: changed by hand, or damaged; the next refresh replaces it",
                    file=path,
                ),
            )
        return StoredConfig(
            document=document,
            path=path,
            etag=_text(meta.get("etag")) if known else None,
            source=_text(meta.get("source")) or "" if known else "",
            fetched_at=_instant(meta.get("fetched_at")) if known else None,
            checked_at=_instant(meta.get("checked_at")) if known else None,
            warnings=warnings,
        )

    def _fetched(self) -> bytes | None:
        """The document as it came, a copy to compare with: a hash of it would let people guess the passwords in it."""
        try:
            return read_plain(self.folder / FETCHED, MAX_BYTES + _HEAD_BYTES)
        except OSError:
            return None

    def _meta(self) -> dict[str, Any]:
        try:
            meta = read_json(read_plain(self.folder / META))
        except (OSError, ValueError):
            return {}
        return meta if isinstance(meta, dict) else {}

    def _write_meta(self, meta: dict[str, Any]) -> None:
        text = json.dumps(meta, default=lambda instant: instant.isoformat(), indent=1)
        write_atomically(self.folder / META, text.encode() + b"\n")


def _as_fetched(etag: object, raw: bytes) -> bytes:
    """The copy of a document: its ETag on the first line, so that the two always belong together, then every byte."""
    return json.dumps(etag).encode() + b"\n" + raw


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _instant(text: object) -> dt.datetime | None:
    try:
        instant = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo else None
