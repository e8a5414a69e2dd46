"""The report for the runtime, `deployment.json` in its data folder, and what it needs of the registry. Called by the verbs."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from runtime.adapters.deployment_notes import REPORT
from runtime.adapters.untrusted_files import write_for_owner
from runtime.deployment.deployment import Deployment
from runtime.deployment.records import LastResult, RegistryTag
from runtime.deployment.results import UNEVENTFUL, DeployError, Result
from runtime.deployment.watchtower import Watchtower

# A repair comes every five minutes, and registries count requests. While the tag names a refused image, what is written here
# holds Watchtower back, so it must be recent.
TAG_AGE, REFUSED_TAG_AGE = dt.timedelta(minutes=30), dt.timedelta(minutes=4)


def ask_tag(deployment: Deployment, *, always: bool) -> None:
    """Record what the tag names in the registry, and since when another image runs here. A registry's failure is recorded too."""
    records, now = deployment.records, deployment.now()
    reference = deployment.settings.image
    tag = records.tag
    limit = REFUSED_TAG_AGE if records.refused else TAG_AGE
    recent = tag.at is not None and dt.timedelta() <= now - tag.at < limit
    if always or not recent:
        try:
            digest = reference.digest or deployment.engine.tag_digest(reference)
            tag = RegistryTag(digest=digest, known_at=now, at=now)
        except DeployError as error:
            tag = records.tag.model_copy(update={"at": now, "error": error.message})
    runtime = deployment.runtime()
    image = deployment.engine.image(runtime.image_id) if runtime else None
    behind = records.behind_since
    if tag.digest and image is not None and image.manifest_digests:
        behind = None if tag.digest in image.manifest_digests else behind or now
    deployment.record_file.change(tag=tag, behind_since=behind)


def record_last(deployment: Deployment, verb: str, result: Result) -> None:
    """A change or a failure. The same one again, five minutes later, is not recorded again."""
    last = deployment.records.last
    found = (verb, result.reason, result.message)
    if result.reason not in UNEVENTFUL and (last is None or (last.verb, last.reason, last.message) != found):
        last = LastResult(verb=verb, reason=result.reason, message=result.message, at=deployment.now())
        deployment.record_file.change(last=last)


def build(deployment: Deployment, watchtower: Watchtower) -> dict[str, Any]:
    """As docs/deployment.md shows it. Raises DeployError."""
    records, runtime = deployment.records, deployment.runtime()
    image = deployment.engine.image(runtime.image_id) if runtime else None
    pin, last = records.pinned, records.last
    return {
        "schema": 1,
        "runtime": deployment.names.runtime,
        "at": deployment.now().isoformat(),
        "image": str(deployment.settings.image),
        "running": {
            "image_id": runtime.image_id if runtime else "",
            "digest": image.digest(deployment.settings.image.repository) if image else "",
            "version": image.version if image else "",
            "revision": image.revision if image else "",
            "health": (runtime.health or runtime.status) if runtime else "missing",
        },
        "tag": records.tag.model_dump(mode="json"),
        "behind_since": records.behind_since.isoformat() if records.behind_since else None,
        "refused": list(records.refused_digests),
        "pinned": pin.model_dump(mode="json") if pin else None,
        "watchtower": {"state": watchtower.state, "image": watchtower.image},
        "updates": {
            "auto": deployment.settings.auto_update,
            "window": str(deployment.settings.update_window or ""),
            "zone": deployment.settings.zone,
            "fixed": bool(deployment.settings.image.digest),
        },
        "http_proxy": deployment.web_proxies.report(),
        "last": last.model_dump(mode="json") if last else None,
    }


def hand_in(deployment: Deployment, content: dict[str, Any]) -> None:
    """Write it where the runtime reads it. Raises OSError."""
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_for_owner(deployment.folders.data, REPORT, text.encode(), mode=0o644)
