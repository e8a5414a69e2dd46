"""The table of translations in scripts for Linux: each sentence is found with its values, and nothing in them runs."""

import re
import subprocess
from pathlib import Path

import pytest

from contracts.host_commands import COMMANDS
from contracts.languages import read_po
from contracts.stored_text import placeholders
from server.services.installer.rendering import sh_quoted
from tests.unit.shell.host import ROOT, SHELLS, wrapper
from tests.unit.shell.install_host import render

VALUE = "*[a]\\?'\" $(touch hit) `touch hit` ção"
# Of the commands; the installer's needs no function.
PORTUGUESE = 'portuguese() { [ "$language" = pt-BR ]; }'
SCRIPTS = {"installer-linux": render().decode(), **{f"wrappers-linux of {name}": wrapper(name) for name in COMMANDS}}


def function(script: str, name: str) -> str:
    found = re.search(rf"^{name}\(\) \{{ .*\}}\n|^{name}\(\) \{{\n(?s:.*?)^\}}\n", script, re.MULTILINE)
    assert found, name
    return found[0]


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_sentence_is_found_with_its_values_and_nothing_in_them_runs(script: str, tmp_path: Path) -> None:
    """The script's own table in each shell, with every variable set to what a pattern or a command could be made of."""
    sentences = read_po((ROOT / f"locale/pt_BR/{script.partition(' ')[0]}.po").read_text(encoding="utf-8"))
    names = sorted({name for template in sentences for name in placeholders(template)})
    lines = [PORTUGUESE, function(SCRIPTS[script], "translate"), "language=pt-BR"]
    lines += [f"{name}={sh_quoted(VALUE)}" for name in names]
    values = dict.fromkeys(names, VALUE)
    for template in sentences:
        english = template.format_map(values) if placeholders(template) else template
        lines.append(f"translate {sh_quoted(english)}; printf '%s\\0' \"$text\"")
    plain = sh_quoted(next(template for template in sentences if not placeholders(template)))
    lines.append(
        f"translate 'unknown'; printf '%s\\0' \"$text\"; language=en; translate {plain}; printf '%s' \"$text\""
    )
    expected = [
        forms[0].format_map(values) if placeholders(template) else forms[0] for template, forms in sentences.items()
    ]
    assert len(expected) > 50
    for words in SHELLS.values():
        done = subprocess.run(
            [*words, "-euc", "\n".join(lines)], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
        )
        assert sh_quoted(done.stdout.split("\0")[-1]) == plain
        assert done.stdout.split("\0")[:-1] == [*expected, "unknown"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_on_the_way_to_the_table_changes_a_value_of_a_sentence() -> None:
    script = wrapper("update-image")
    sentences = read_po((ROOT / "locale/pt_BR/wrappers-linux.po").read_text(encoding="utf-8"))
    names = {name for template in sentences for name in placeholders(template)}
    way = "".join(
        function(script, name)
        for name in ("show", "tell", "warn", "fail", "in_json", "print_failure", "portuguese", "translate", "bad_usage")
    )
    changed = set(re.findall(r"(?:^|[\s;{])(\w+)=", way))
    assert {"text", "status", "reason"} <= changed
    assert changed & names == set()
