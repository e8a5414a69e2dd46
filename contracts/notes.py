"""What a reader of a document has to say about it: ignored keys, translated names, dangers. Shown by `config check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contracts.text import joined

NoteLevel = Literal["info", "warning", "danger"]


@dataclass(frozen=True, slots=True)
class Note:
    """``path`` is the key that the note is about, as it was written."""

    level: NoteLevel
    path: str
    text: str

    def __str__(self) -> str:
        return joined((self.path, self.text), ": ")
