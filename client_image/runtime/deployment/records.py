"""What deploy remembers between two calls, in `/etc/<runtime>/deploy.json`: root's own file, written whole or not at all.

The names in the file are older than some of those here: an earlier release must read it after a rollback.
"""

from __future__ import annotations

import datetime as dt
import errno
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts.bounded import read_json
from contracts.image_reference import Reference
from contracts.text import say
from runtime.adapters.state.files import read_plain, write_atomically
from runtime.deployment.engine import Image, release
from runtime.deployment.repair_rules import HealthHistory

FILE = "deploy.json"
HEALTHY_IMAGE_FILE = "healthy_image"
HEALTHY_KEPT = 5
ATTEMPT_WINDOW = dt.timedelta(hours=1)
_LIST_LIMIT = 10
# A pipe, a folder, a link to itself or a file too large is set aside. Any other error is the disk's, and may pass.
_SET_ASIDE = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class HealthyImage(_Part):
    """An image that was healthy as the runtime. ``reference``: how to get it again, repository@digest, else its id.

    ``proved``: it was healthy for long enough without a restart. Otherwise it passed an update, and is trusted until it fails.
    """

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
        return release(self.version, self.revision) or self.reference


class Pin(_Part):
    """The image that stays until an operator resumes."""

    reference: str
    image_id: str
    at: AwareDatetime
    why: str


class PendingUpdate(_Part):
    """An update that has begun, saved before the old container is stopped. ``old``: its id, empty for a first installation.

    ``pin``: what is pinned once the update has succeeded.
    """

    verb: str
    old: str
    image_id: str
    reference: str
    pin: Pin | None = None
    at: AwareDatetime


class RefusedImage(_Part):
    """An image that failed, or that was rolled back from. ``digests``: of its manifest, as registries name it."""

    image_id: str
    digests: tuple[str, ...] = ()
    at: AwareDatetime


class RegistryTag(_Part):
    """What the registry last answered for the tag. ``known_at``: when it answered; ``at``: when it was last asked."""

    digest: str = ""
    known_at: AwareDatetime | None = None
    at: AwareDatetime | None = None
    error: str = ""


class Success(_Part):
    """A repair after which the runtime was healthy and as specified. ``cause``: of `repair_rules.cause_of`."""

    cause: str
    at: AwareDatetime


class LastResult(_Part):
    """The last deploy that changed something or failed."""

    verb: str
    reason: str
    message: str
    at: AwareDatetime


class Records(_Part):
    """``healthy``: newest first, by when each was first healthy. ``current``: image id of the one that was last healthy.

    ``followed``: the value of FLAGEEMONITOR_IMAGE when the runtime was last created from it. ``barrier_until``: until when deploy
    keeps new runs from starting, in seconds since 1970, so that a later call knows its own barrier. ``attempts``: when repairs
    acted that did not help; ``successes``: those that helped. ``retired``: image ids that may be removed once nothing uses them.
    ``history``: what repairs saw of the runtime.
    """

    version: int = Field(1, alias="schema")
    healthy: tuple[HealthyImage, ...] = ()
    current: str = ""
    followed: str = ""
    pinned: Pin | None = None
    pending_update: PendingUpdate | None = Field(None, alias="swap")
    barrier_until: int | None = Field(None, alias="door")
    attempts: tuple[AwareDatetime, ...] = ()
    successes: tuple[Success, ...] = ()
    retired: tuple[str, ...] = ()
    refused: tuple[RefusedImage, ...] = ()
    history: HealthHistory | None = Field(None, alias="sight")
    behind_since: AwareDatetime | None = None
    tag: RegistryTag = RegistryTag()
    last: LastResult | None = None

    def entry(self, image_id: str) -> HealthyImage | None:
        return next((one for one in self.healthy if one.image_id == image_id), None)

    def known(self, image_id: str) -> bool:
        """Whether this image was healthy before."""
        return self.entry(image_id) is not None

    def proved(self, image_id: str) -> bool:
        entry = self.entry(image_id)
        return entry is not None and entry.proved

    @property
    def current_first(self) -> tuple[HealthyImage, ...]:
        """The healthy images; the one that was last healthy comes first."""
        current = self.entry(self.current)
        return (*((current,) if current else ()), *(one for one in self.healthy if one != current))

    def before(self, image_id: str) -> tuple[HealthyImage, ...]:
        """The healthy images that a rollback from this one may go to, best first."""
        ids = [one.image_id for one in self.healthy]
        return self.healthy[ids.index(image_id) + 1 :] if image_id in ids else self.current_first

    @property
    def refused_digests(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(digest for one in self.refused for digest in one.digests))

    def recent_attempts(self, now: dt.datetime) -> tuple[dt.datetime, ...]:
        """Repairs of the last hour that did not help."""
        return tuple(at for at in self.attempts if _recent(at, now))

    def attempts_against(self, cause: str, now: dt.datetime) -> int:
        """Repairs of the last hour that count for this cause: it comes back, or nothing helps."""
        helped = sum(one.cause == cause and _recent(one.at, now) for one in self.successes)
        return len(self.recent_attempts(now)) + helped

    # Each of these returns new records.

    def with_attempt(self, now: dt.datetime) -> Records:
        return self.model_copy(update={"attempts": (*self.recent_attempts(now), now)})

    def with_success(self, cause: str, now: dt.datetime) -> Records:
        """The last attempt has helped."""
        successes = (*(one for one in self.successes if _recent(one.at, now)), Success(cause=cause, at=now))
        return self.model_copy(update={"attempts": self.attempts[:-1], "successes": successes})

    def with_healthy(self, image: Image, repository: str, now: dt.datetime, *, proved: bool) -> Records:
        """This image runs and is healthy."""
        if self.known(image.id):
            entries = (
                one.model_copy(update={"proved": one.proved or proved}) if one.image_id == image.id else one
                for one in self.healthy
            )
            return self.model_copy(update={"current": image.id, "healthy": tuple(entries)})
        digest = image.digest(repository)
        # The same image under the id that it had in the engine's former image store is no image to go back to.
        others = tuple(one for one in self.healthy if not digest or one.digest != digest)
        reference = str(Reference(repository, digest=digest)) if digest else image.id
        entry = HealthyImage(
            reference=reference,
            image_id=image.id,
            digest=digest,
            version=image.version,
            revision=image.revision,
            proved=proved,
            at=now,
        )
        healthy = (entry, *others)
        # Those with a digest can be pulled again.
        removable = (one.image_id for one in healthy[2:] if one.digest)
        return self.model_copy(update={"healthy": healthy[:HEALTHY_KEPT], "current": image.id}).with_retired(*removable)

    def with_retired(self, *image_ids: str) -> Records:
        retired = tuple(dict.fromkeys((*image_ids, *self.retired)))[:_LIST_LIMIT]
        return self.model_copy(update={"retired": retired})

    def with_refused(self, image: Image, now: dt.datetime) -> Records:
        """Watchtower must not take this one."""
        one = RefusedImage(image_id=image.id, digests=image.manifest_digests, at=now)
        return self.model_copy(update={"refused": (one, *self.without_refused(image).refused)[:_LIST_LIMIT]})

    def without_refused(self, image: Image) -> Records:
        """Without this image, whatever its id was when it was refused."""
        same = {image.id, *image.manifest_digests}
        left = tuple(one for one in self.refused if not same & {one.image_id, *one.digests})
        return self.model_copy(update={"refused": left})


def _recent(at: dt.datetime, now: dt.datetime) -> bool:
    """One in the future was recorded while the clock was ahead, and does not count."""
    return dt.timedelta() <= now - at < ATTEMPT_WINDOW


class RecordFile:
    """The file itself; reads it when made. Blocks on the disk. ``read_only``: leave even a damaged file as it is.

    ``notice``: a sentence for an operator when the file could not be read or written.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder, self._read_only = folder, read_only
        self.notice = ""
        self.records = self._read()

    def change(self, **changes: object) -> None:
        """Save with some fields changed, as ``save`` does."""
        self.save(self.records.model_copy(update=changes))

    def save(self, records: Records) -> None:
        """On the disk if possible, else in memory with a notice: a full disk must not keep a container from starting."""
        try:
            self.save_or_raise(records)
        except OSError as error:
            self.records = records
            self.notice = say(
                "{file} could not be written ({strerror}): the next call will not know what this one did",
                file=FILE,
                strerror=error.strerror,
            )

    def save_or_raise(self, records: Records) -> None:
        """For what must not happen unrecorded. Raises OSError, and then nothing has changed."""
        if records == self.records and (self._folder / FILE).exists():
            return
        content = records.model_dump_json(indent=1, by_alias=True) + "\n"
        write_atomically(self._folder / FILE, content.encode(), mode=0o600)
        current = records.entry(records.current)
        if current is not None:
            _write_if_new(self._folder / HEALTHY_IMAGE_FILE, f"{current.reference}\n".encode())
        self.records = records

    def _read(self) -> Records:
        path = self._folder / FILE
        try:
            return Records.model_validate(read_json(read_plain(path)))
        except FileNotFoundError:
            return Records()
        except (ValidationError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _SET_ASIDE:
                raise
            aside = path.with_name(f"{FILE}.damaged")
            cause = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0]
            self.notice = say(
                "{name} could not be read ({cause}): pins and history are lost", name=path.name, cause=cause
            )
            if not self._read_only:
                path.replace(aside)
                self.notice = say("{notice}; its content is kept in {name}", notice=self.notice, name=aside.name)
            return Records()


def _write_if_new(path: Path, content: bytes) -> None:
    try:
        if read_plain(path) == content:
            return
    except OSError:
        pass
    write_atomically(path, content, mode=0o600)
