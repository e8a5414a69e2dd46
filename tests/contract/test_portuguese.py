"""What an operator reads in Portuguese covers what is written in English: the same symptoms, by their codes."""

import re
from pathlib import Path

from runtime.domain.model import Outcome

DOCS = Path(__file__).parents[2] / "docs"


def symptoms(text: str, heading: str) -> set[str]:
    """Codes in the first cells of the tables below a heading."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = (line.split("|")[1] for line in section.splitlines() if line.startswith("| ") and "---" not in line)
    return {code for cell in cells for code in re.findall(r"[a-z]+_[a-z_]+", cell)}


def test_every_symptom_that_operations_explains_is_explained_in_portuguese_too() -> None:
    english = symptoms((DOCS / "operations.md").read_text(encoding="utf-8"), "When something is wrong")
    portuguese = symptoms((DOCS / "operacao.md").read_text(encoding="utf-8"), "Quando algo está errado")
    assert len(english) > 25
    assert english <= portuguese, f"missing in docs/operacao.md: {sorted(english - portuguese)}"


def test_outcomes_are_all_explained_in_portuguese() -> None:
    text = (DOCS / "operacao.md").read_text(encoding="utf-8").partition("\n## Resultados\n")[2].partition("\n## ")[0]
    assert [outcome.value for outcome in Outcome if f"| `{outcome.value}` |" not in text] == []
