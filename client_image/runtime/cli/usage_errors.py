"""What click says about a command line that it cannot read, in the chosen language. English stays as click words it."""

from __future__ import annotations

import sys

import click

from contracts.text import Text, recognised, say
from contracts.visible import visible
from runtime.cli.language import shown

# click's own sentences, those that our commands can cause.
_SENTENCES = (
    say("Missing command."),
    say("Missing argument {name}."),
    say("Missing option {name}."),
    say("No such option {name}."),
    say("No such option {name}. Did you mean {near}?"),
    say("Option {name} requires an argument."),
    say("Option {name} does not take a value."),
    say("Got unexpected extra argument ({words})"),
    say("Got unexpected extra arguments ({words})"),
    say("Invalid value for {name}: {problem}"),
    say("{value} is not one of {choices}."),
    say("{value} is not a valid integer."),
    say("{value} is not a valid integer range."),
    say("{value} is not in the range {range}."),
    say("File {name} does not exist."),
    say("File {name} is a directory."),
    say("File {name} is not readable."),
)


def show_usage_error(error: click.ClickException) -> None:
    """On stderr: usage, where help is, and the problem."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the help page, which is translated
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        command = f"'{context.command_path} {context.help_option_names[-1]}'"
        click.echo(f"{context.get_usage()}\n{shown(say('Try {command} for help.', command=command))}\n", sys.stderr)
    click.echo(visible(shown(say("Error: {problem}", problem=problem_of(error)))), sys.stderr)


def problem_of(error: click.ClickException) -> str:
    message = error.format_message()
    return message if isinstance(message, Text) else recognised(message, _SENTENCES)
