"""What deploy remembers between two calls, in `/etc/<runtime>/deploy.json`: root's own file, written whole or not at all."""

from __future__ import annotations

import datetime as dt
import errno
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts.bounded import read_json
from runtime.adapters.state.files import read_plain, write_atomically
from runtime.deployment.facts import Image
from runtime.deployment.reference import Reference
from runtime.deployment.sights import Sight

FILE = "deploy.json"
HEALTHY_IMAGE = "healthy_image"
KEPT = 5
ATTEMPTS = 3
WINDOW = dt.timedelta(hours=1)
_RETIRED = 10
# A pipe or a folder of that name, a giant, a link to itself; and no trouble of the disk, which another time may read.
_NO_FILE_OF_OURS = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Healthy(_Part):
    """An image that was seen healthy as the runtime. ``reference``: how to have it again: repository@digest, else the id.
    ``proved``: for long enough, and without a restart; else it passed a swap, and is believed until it ails."""

    reference: Annotated[str, Field(min_length=1)]
    image_id: Annotated[str, Field(min_length=1)]
    digest: str = ""
    version: str = ""
    revision: str = ""
    proved: bool = True
    at: AwareDatetime

    @property
    def label(self) -> str:
        """For a person."""
        named = " ".join(filter(None, (self.version, self.revision[:12] and f"({self.revision[:12]})")))
        return named or self.reference


class Pin(_Part):
    """The image that stays until somebody resumes."""

    reference: str
    image_id: str
    at: AwareDatetime
    why: str


class Swap(_Part):
    """A swap that is under way, noted before the old container is touched. ``old``: its id, empty at a first install.

    ``pin`` is what holds once it has succeeded.
    """

    verb: str
    old: str
    image_id: str
    reference: str
    pin: Pin | None = None
    at: AwareDatetime


class Refused(_Part):
    """An image that did not pass, or that was gone back from. ``digests``: of its manifest, as registries name it."""

    image_id: str
    digests: tuple[str, ...] = ()
    at: AwareDatetime


class Tag(_Part):
    """What the registry last said about the tag. ``known_at``: when it said so; ``at``: when it was last asked."""

    digest: str = ""
    known_at: AwareDatetime | None = None
    at: AwareDatetime | None = None
    error: str = ""


class Last(_Part):
    verb: str
    reason: str
    message: str
    at: AwareDatetime


class Records(_Part):
    """``healthy``: newest first, by when each was first healthy. ``current``: image id of the one that was last seen healthy.

    ``followed``: what FLAGEEMONITOR_IMAGE named when the runtime was last made from it. ``door``: seconds since 1970 that we have
    closed the door until, so that a later call knows whose it is. ``attempts``: when a repair last acted. ``retired``: images of
    ours that may be removed from the host as soon as nothing uses them. ``sight``: what repairs saw of the runtime.
    """

    version: int = Field(1, alias="schema")
    healthy: tuple[Healthy, ...] = ()
    current: str = ""
    followed: str = ""
    pinned: Pin | None = None
    swap: Swap | None = None
    door: int | None = None
    attempts: tuple[AwareDatetime, ...] = ()
    retired: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    sight: Sight | None = None
    behind_since: AwareDatetime | None = None
    tag: Tag = Tag()
    last: Last | None = None

    def known(self, image_id: str) -> bool:
        return any(one.image_id == image_id for one in self.healthy)

    def proved(self, image_id: str) -> bool:
        return any(one.image_id == image_id and one.proved for one in self.healthy)

    def entry(self, image_id: str) -> Healthy | None:
        return next((one for one in self.healthy if one.image_id == image_id), None)

    def before(self, image_id: str) -> tuple[Healthy, ...]:
        """The healthy images that a rollback from this one may go to, best first."""
        ids = [one.image_id for one in self.healthy]
        if image_id in ids:
            return self.healthy[ids.index(image_id) + 1 :]
        current = self.entry(self.current)
        return tuple(dict.fromkeys((*((current,) if current else ()), *self.healthy)))

    def remember(self, image: Image, repository: str, now: dt.datetime, *, proved: bool) -> Records:
        """This image runs healthy."""
        if self.known(image.id):
            entries = (
                one.model_copy(update={"proved": one.proved or proved}) if one.image_id == image.id else one
                for one in self.healthy
            )
            return self.model_copy(update={"current": image.id, "healthy": tuple(entries)})
        digest = image.digest(repository)
        reference = str(Reference(repository, digest=digest)) if digest else image.id
        entry = Healthy(
            reference=reference,
            image_id=image.id,
            digest=digest,
            version=image.version,
            revision=image.revision,
            proved=proved,
            at=now,
        )
        healthy = (entry, *self.healthy)
        return self.model_copy(update={"healthy": healthy[:KEPT], "current": image.id}).retire(
            *(one.image_id for one in healthy[2:] if one.digest)  # these can be had again
        )

    def retire(self, *image_ids: str) -> Records:
        retired = tuple(dict.fromkeys((*image_ids, *self.retired)))[:_RETIRED]
        return self.model_copy(update={"retired": retired})

    def refuse(self, image: Image, now: dt.datetime) -> Records:
        """Watchtower is not to take this one."""
        digests = tuple(text.partition("@")[2] for text in image.digests)
        one = Refused(image_id=image.id, digests=digests, at=now)
        return self.model_copy(update={"refused": (one, *self.accept(image.id).refused)[:_RETIRED]})

    def accept(self, image_id: str) -> Records:
        """It may be taken after all."""
        return self.model_copy(update={"refused": tuple(one for one in self.refused if one.image_id != image_id)})

    @property
    def refused_digests(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(digest for one in self.refused for digest in one.digests))

    def tried(self, now: dt.datetime) -> Records:
        """A repair acts now."""
        return self.model_copy(update={"attempts": (*self.recent(now), now)})

    def recent(self, now: dt.datetime) -> tuple[dt.datetime, ...]:
        """Repairs of the last hour; one from the future was noted by a clock that ran ahead."""
        return tuple(at for at in self.attempts if dt.timedelta() <= now - at < WINDOW)


class Memory:
    """The file itself. Blocks on the disk. ``look``: change nothing, not even a file that is damaged."""

    def __init__(self, folder: Path, *, look: bool = False) -> None:
        self._folder, self._look = folder, look
        self.notice = ""
        self.records = self._read()

    def save(self, **changes: object) -> None:
        """Change some fields, for good where the disk lets us: a full one must not keep a container from starting."""
        self.keep(self.records.model_copy(update=changes))

    def keep(self, records: Records) -> None:
        """The same for a whole new content."""
        try:
            self.commit(records)
        except OSError as error:
            self.records = records
            self.notice = f"{FILE} could not be written ({error.strerror}): what happened is forgotten with this call"

    def commit(self, records: Records) -> None:
        """For what must not happen without being noted. Raises OSError, and then nothing has changed."""
        if records == self.records and (self._folder / FILE).exists():
            return
        content = records.model_dump_json(indent=1, by_alias=True) + "\n"
        write_atomically(self._folder / FILE, content.encode(), mode=0o600)
        current = records.entry(records.current)
        if current is not None:
            _write_if_new(self._folder / HEALTHY_IMAGE, f"{current.reference}\n".encode())
        self.records = records

    def _read(self) -> Records:
        path = self._folder / FILE
        try:
            return Records.model_validate(read_json(read_plain(path)))
        except FileNotFoundError:
            return Records()
        except (ValidationError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_FILE_OF_OURS:
                raise
            aside = path.with_name(f"{FILE}.damaged")
            first = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0]
            self.notice = f"{path.name} could not be read ({first}): pins and history are lost"
            if not self._look:
                path.replace(aside)
                self.notice += f"; what it held is in {aside.name}"
            return Records()


def _write_if_new(path: Path, content: bytes) -> None:
    try:
        if read_plain(path) == content:
            return
    except OSError:
        pass
    write_atomically(path, content, mode=0o600)
