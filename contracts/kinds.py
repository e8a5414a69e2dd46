"""The kinds of an envelope, apart from the envelope itself: a run by hand names them and never reads or writes one."""

from __future__ import annotations

from typing import Final, Literal, get_args

Kind = Literal["metric", "event", "detection", "heartbeat", "result"]
KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))
