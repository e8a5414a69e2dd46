"""`flagee-server` speaks to people in their language."""

import pytest
from click.testing import CliRunner

from contracts.text import say
from server.cli import output
from server.cli.root import cli
from server.language import choose_language


def test_remarks_and_refused_command_lines_are_in_the_language_of_the_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    choose_language([], {"LANG": "pt_BR.UTF-8"})
    try:
        refused = CliRunner().invoke(cli, ["a\udcff"])
        output.remark(say("{word} is not text in the encoding of this terminal; nothing was done", word="x"))
    finally:
        choose_language([], {})
    assert (refused.exit_code, "não é texto na codificação deste terminal; nada foi feito" in refused.output) == (
        2,
        True,
    )
    assert capsys.readouterr().err == "x não é texto na codificação deste terminal; nada foi feito\n"
