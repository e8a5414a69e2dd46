"""The one table of image references, for every reader of them."""

import json
from collections.abc import Iterator
from pathlib import Path

_TABLE = json.loads((Path(__file__).parents[1] / "cases/image_references.json").read_text(encoding="utf-8"))


def _all() -> Iterator[tuple[str, bool]]:
    for kind in ("good", "bad"):
        yield from ((text, kind == "good") for text in _TABLE[kind])
    for one in _TABLE["repeated"]:
        yield one.get("before", "") + one["text"] * one["times"] + one["after"], one["good"]


CASES = tuple(_all())
IDS = [(text if len(text) < 40 else f"{text[:20]}…{len(text)}").encode("unicode_escape").decode() for text, _ in CASES]
