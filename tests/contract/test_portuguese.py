"""The pages for operators say the same in English and Portuguese: headings, tables, steps, commands and codes."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.deployment.results import EXIT_CODES
from runtime.domain.model import Outcome, Reason
from server.services import health

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = ("bootstrap", "client_image", "commandline", "contracts", "server", "wrappers")
CLONED = "cloned-terminals.md"
PAGES = ("administrators.md", "daily.md", "data.md", "install.md", "problems.md", "reference.md")
PAIRS = [
    ("operations.md", "operacao.md"),
    (CLONED, f"pt-BR/{CLONED}"),
    *((f"operations/{page}", f"pt-BR/{page}") for page in PAGES),
]
LINKED = sorted([*(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")), "../README.md"])
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
# Words in capitals stand for what a reader fills in, and are translated: FILE, ARQUIVO.
PLACEHOLDER = re.compile(r"(?<![\w$])[A-ZÀ-Ú]{2,}(?!\w)")


class Section(NamedTuple):
    """What a section has in both languages. ``tables``: the number of rows of each; ``codes``: what stands in backticks."""

    level: int
    tables: tuple[int, ...]
    steps: int
    points: int
    commands: tuple[str, ...]
    codes: frozenset[str]


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, Section]:
    """By heading, in the order of the page. Fenced text is cut out before headings are looked for: a comment may begin with #."""
    fences: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        fences.append(found[0])
        return f"@@FENCE{len(fences) - 1}@@"

    parts = re.split(r"^(#+) (.*)$", FENCE.sub(put_aside, text), flags=re.MULTILINE)
    return {
        heading: section(len(level), body, fences)
        for level, heading, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }


def section(level: int, body: str, fences: list[str]) -> Section:
    tables = re.findall(r"(?:^ *\|.*\n)+", body + "\n", re.MULTILINE)
    fenced = [fences[int(number)] for number in re.findall(r"@@FENCE(\d+)@@", body)]
    return Section(
        level,
        tuple(table.count("\n") for table in tables),
        len(re.findall(r"^\d+\. ", body, re.MULTILINE)),
        len(re.findall(r"^- ", body, re.MULTILINE)),
        tuple(comparable(line) for fence in fenced for line in fence.splitlines()),
        frozenset(comparable(code) for code in re.findall(r"`([^`]+)`", body)),
    )


def comparable(code: str) -> str:
    return PLACEHOLDER.sub("X", re.sub(r"\s+# .*$", "", code)).strip()


@pytest.mark.parametrize(("english", "portuguese"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_both_languages_have_the_same_sections_tables_steps_commands_and_codes(english: str, portuguese: str) -> None:
    ours, theirs = sections(read(english)), sections(read(portuguese))
    assert len(ours) == len(theirs), f"headings:\n{list(ours)}\n{list(theirs)}"
    for (heading, here), (titulo, there) in zip(ours.items(), theirs.items(), strict=True):
        assert here.codes == there.codes, f"{heading} / {titulo}: {sorted(here.codes ^ there.codes)}"
        assert here == there, f"{heading} / {titulo}"


@pytest.mark.parametrize("page", ["operations/reference.md", "pt-BR/reference.md"])
def test_every_outcome_reason_and_exit_code_is_explained(page: str) -> None:
    text = read(page)
    codes = [*Outcome, *Reason, *EXIT_CODES]
    assert [code for code in codes if f"`{code}`" not in text] == []
    assert [code for code in set(EXIT_CODES.values()) if f"| {code} |" not in text] == []


@pytest.mark.parametrize("page", ["operations/problems.md", "pt-BR/problems.md"])
def test_every_reason_of_the_health_report_is_explained(page: str) -> None:
    text = read(page)
    assert [row.code for row in health.REASONS if f"`{row.code}`" not in text] == []


def test_messages_that_the_page_of_problems_quotes_are_in_the_programs() -> None:
    """… stands for what varies. A message with other words cannot be found on the page by the person who reads it."""
    cells = re.findall(r"^\| ([^|]*) \|", read("operations/problems.md"), re.MULTILINE)
    quoted = [text for cell in cells for text in re.findall(r'"([^"]+)"', cell)]
    sources = [path for folder in PROGRAMS for path in (DOCS.parent / folder).rglob("*") if path.is_file()]
    programs = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.suffix not in {".pyc", ".gz"})
    assert len(quoted) > 5
    assert [text for text in quoted if any(part.strip() not in programs for part in text.split("…"))] == []


def anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    path = (DOCS / page).resolve()
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        there = (path.parent / target) if target else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_every_page_for_operators_is_linked_from_its_index() -> None:
    for index, folder, others in (("operations.md", "operations", set()), ("operacao.md", "pt-BR", {CLONED})):
        pages = {path.name for path in (DOCS / folder).glob("*.md")}
        assert pages == {*PAGES, *others}
        assert [page for page in sorted(pages) if f"]({folder}/{page})" not in read(index)] == []
