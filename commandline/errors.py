"""What ends a command, in the chosen language: our own messages, and what click says about a command line that it cannot read.

Messages repeat what stands in files and databases: nothing in them steers a terminal.
"""

from __future__ import annotations

import sys

import click

from commandline.language import shown
from contracts.text import Text, recognised, say
from contracts.visible import visible

_INVALID = say("Invalid value for {name}: {problem}")
# click's own sentences, those that our commands can cause.
_SENTENCES = (
    say("Missing command."),
    say("Missing argument {name}."),
    say("Missing option {name}."),
    say("No such command {name}. (Did you mean one of: {near}?)"),
    say("No such command {name}. Did you mean {near}?"),
    say("No such command {name}."),
    say("No such option {name}. (Did you mean one of: {near}?)"),
    say("No such option {name}. Did you mean {near}?"),
    say("No such option {name}."),
    say("Option {name} requires an argument."),
    say("Option {name} does not take a value."),
    say("Got unexpected extra argument ({words})"),
    say("Got unexpected extra arguments ({words})"),
    _INVALID,
    say("{value} is not one of {choices}."),
    say("{value} is not a valid float range."),
    say("{value} is not a valid integer."),
    say("{value} is not a valid integer range."),
    say("{value} is not in the range {range}."),
    say("File {name} does not exist."),
    say("File {name} is a directory."),
    say("File {name} is not readable."),
)


def show_error(error: click.ClickException) -> None:
    """On stderr: for a wrong command line also the usage and where help is."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the help page, which is translated
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        command = f"'{context.command_path} {max(context.help_option_names, key=len)}'"
        hint = shown(say("Try {command} for help.", command=command))
        click.echo(f"{visible(context.get_usage())}\n{visible(hint)}\n", sys.stderr)
    click.echo(visible(shown(say("Error: {problem}", problem=problem_of(error)))), sys.stderr)


def problem_of(error: click.ClickException) -> str:
    """What the error says, as a sentence that can be shown in every language."""
    message = error.format_message()
    if isinstance(message, Text):
        return message
    found = recognised(message, _SENTENCES)
    if isinstance(found, Text) and found.template == _INVALID.template and isinstance(error.message, Text):
        return say("Invalid value for {name}: {problem}", name=found.values["name"], problem=error.message)
    return found
