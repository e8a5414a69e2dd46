"""Tables on a terminal that is too narrow for them."""

import io

from runtime.cli.terminal import Terminal, draw


def test_numbers_below_each_other_s_columns_keep_the_names_of_these_on_a_narrow_terminal() -> None:
    shown = io.StringIO()
    columns = ("when", "job", "hosts", "would run", "the others, and why")
    row = ("Mon 2026-11-30 14:00:00 -03", "power-off-at-night", "19", "7", "12 frozen")
    draw(Terminal(file=shown, width=60), columns, [row], columns[:4])
    assert shown.getvalue().split("\n")[:2] == [
        "Mon 2026-11-30 14:00:00 -03  power-off-at-night  hosts: 19  would run: 7",
        "  12 frozen".ljust(60),
    ]
