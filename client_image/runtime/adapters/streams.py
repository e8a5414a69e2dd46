"""Standard output as it really is: an encoding that lacks letters, a reader that goes away. Used by everything that prints."""

from __future__ import annotations

import io
import os
from typing import Any, TextIO


def forgiving(stream: TextIO) -> TextIO:
    """The stream, which from now on writes out what its encoding does not have (LANG=C) instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def hush(stream: Any) -> None:
    """The reader of this stream went away (head, less): what is still to be said is dropped, and the work goes on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
