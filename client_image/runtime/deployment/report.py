"""The report for the runtime, `deployment.json` in its data folder, and what it needs from the registry. Called by the verbs."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from runtime.adapters.deployment_notes import REPORT
from runtime.adapters.handover import hand_over
from runtime.deployment.deployment import Site
from runtime.deployment.facts import Container
from runtime.deployment.records import Last, Tag
from runtime.deployment.results import QUIET, DeployError, Result
from runtime.deployment.watchtower import Watchtower

# The repair comes every five minutes; registries count requests. While the tag stands for a refused image Watchtower is held back
# by what is written here, so that must be true.
TAG_AGE, REFUSED_TAG_AGE = dt.timedelta(minutes=30), dt.timedelta(minutes=4)


def ask_tag(site: Site, *, always: bool) -> None:
    """What the tag points to in the registry, noted with the time since when something else runs here. Never raises."""
    records, now = site.memory.records, site.now()
    reference = site.settings.image
    tag = records.tag
    limit = REFUSED_TAG_AGE if records.refused else TAG_AGE
    fresh = tag.at is not None and dt.timedelta() <= now - tag.at < limit
    if always or not fresh:
        try:
            tag = Tag(digest=reference.digest or site.engine.tag_digest(reference), known_at=now, at=now)
        except DeployError as error:
            tag = records.tag.model_copy(update={"at": now, "error": error.message})
    running = running_digest(site, site.runtime())
    behind = records.behind_since
    if tag.digest and running:
        behind = None if tag.digest in running else behind or now
    site.memory.save(tag=tag, behind_since=behind)


def running_digest(site: Site, runtime: Container | None) -> tuple[str, ...]:
    """Manifest digests of the image that runs; several names may have given it several."""
    image = site.engine.image(runtime.image_id) if runtime else None
    return tuple(text.partition("@")[2] for text in image.digests) if image else ()


def note_last(site: Site, verb: str, result: Result) -> None:
    """Keep what happened, not that nothing did; the same failure every five minutes stays one."""
    last = site.memory.records.last
    told = (verb, result.reason, result.message)
    if result.reason not in QUIET and (last is None or (last.verb, last.reason, last.message) != told):
        site.memory.save(last=Last(verb=verb, reason=result.reason, message=result.message, at=site.now()))


def picture(site: Site, watchtower: Watchtower) -> dict[str, Any]:
    """As docs/deployment.md shows it. Raises DeployError."""
    records, runtime = site.memory.records, site.runtime()
    image = site.engine.image(runtime.image_id) if runtime else None
    digest = image.digest(site.settings.image.repository) if image else ""
    pin, last = records.pinned, records.last
    return {
        "schema": 1,
        "runtime": site.names.runtime,
        "at": site.now().isoformat(),
        "image": str(site.settings.image),
        "running": {
            "image_id": runtime.image_id if runtime else "",
            "digest": digest,
            "version": image.version if image else "",
            "revision": image.revision if image else "",
            "health": (runtime.health or runtime.status) if runtime else "missing",
        },
        "tag": records.tag.model_dump(mode="json"),
        "behind_since": records.behind_since.isoformat() if records.behind_since else None,
        "refused": list(records.refused_digests),
        "pinned": pin.model_dump(mode="json") if pin else None,
        "watchtower": {"state": watchtower.state, "image": watchtower.image},
        "last": last.model_dump(mode="json") if last else None,
    }


def hand_in(site: Site, report: dict[str, Any]) -> None:
    """Raises OSError."""
    content = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    hand_over(site.folders.data, REPORT, content.encode(), mode=0o644)
