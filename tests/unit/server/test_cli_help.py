"""The help of `flagee-server` teaches: an example for each command, and a first sentence that is shown whole in lists."""

from collections.abc import Iterator

import click
import pytest

from server.cli import cli
from server.cli.output import output_option


def commands(group: click.Group = cli, names: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


def help_of(command: click.Command, name: str) -> str:
    # Below the program's own context, as always: click makes an option for help once a command, with the names that are in force.
    program = click.Context(cli, info_name="flagee-server", terminal_width=110, **cli.context_settings)
    return command.get_help(click.Context(command, parent=program, info_name=name))


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_each_command_has_an_example(name: str, command: click.Command) -> None:
    assert f"\n    flagee-server {name}" in help_of(command, name).partition("Example")[2]


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_each_command_is_described_by_a_whole_sentence_in_lists(name: str, command: click.Command) -> None:
    assert not command.get_short_help_str(60).endswith("...")


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_output_is_a_table_or_json_wherever_it_can_be_chosen(name: str, command: click.Command) -> None:
    chosen = [param.type for param in command.params if param.name == "output"]
    assert [list(kind.choices) for kind in chosen if isinstance(kind, click.Choice)] == [["table", "json"]] * len(
        chosen
    )
    assert chosen or name == "serve"


def test_the_table_is_also_asked_for_by_its_first_name() -> None:
    seen: list[str] = []

    def note(output: str) -> None:
        seen.append(output)

    command = click.Command("list", callback=note)
    for words in (["--output", "text"], ["--output", "table"], ["--output", "json"], []):
        output_option(command).main([*words], standalone_mode=False)
        command.params.clear()
    assert seen == ["table", "table", "json", "table"]
