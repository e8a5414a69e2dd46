"""Help pages in the chosen language. Commands and options are declared in English; their texts are translated when shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from commandline.language import looked_up, shown
from contracts.help_pages import paragraphs, translated
from contracts.languages import CODES
from contracts.text import say

_Command = TypeVar("_Command", bound=Callable[..., Any])
# click's own, which it gives to every command.
OF_CLICK = (say("Show this message and exit."), say("Show the version and exit."))


class _Language(click.Choice[str]):
    """``pt_BR`` is taken too: so it is spelled in LANG."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.replace("_", "-"), param, ctx)


def lang_option(command: _Command) -> _Command:
    """On the program and on every command. What it says counts before anything is parsed, see :mod:`commandline.language`."""
    option = click.option(
        "--lang",
        type=_Language(CODES, case_sensitive=False),
        metavar=f"[{'|'.join(CODES)}]",
        expose_value=False,
        help="Language of messages and help; default: that of LC_ALL, LC_MESSAGES or LANG.",
    )
    return option(command)


class Command(click.Command):
    """A command whose help page is in the reader's language. In a list it is described by its short help, else by the first
    sentence of that page."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        pieces = " ".join(self.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, pieces, prefix=shown(say("Usage: ")))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.help:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(translated(self.help, looked_up))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [_option_row(option, ctx) for option in self.get_params(ctx) if isinstance(option, click.Option)]
        with formatter.section(shown(say("Options"))):
            formatter.write_dl([row for row in rows if row])

    def get_short_help_str(self, limit: int = 45) -> str:
        if self.short_help:
            return looked_up(self.short_help)
        first = looked_up(paragraphs(self.help or "")[0])
        return re.split(r"\.(?: |$)", first)[0]


class Group(Command, click.Group):
    """A group of commands, likewise."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Command.format_options(self, ctx, formatter)
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section(shown(say("Commands"))):
            formatter.write_dl([(name, one.get_short_help_str()) for name, one in commands if one and not one.hidden])


def _option_row(option: click.Option, ctx: click.Context) -> tuple[str, str] | None:
    """The option as it is typed, and what it does, with its default and limits."""
    record = option.get_help_record(ctx)
    if record is None:
        return None
    words, english = record
    about = option.help or ""
    more = english.removeprefix(about).replace("[default: ", f"[{shown(say('default: '))}")
    return words, looked_up(about) + more
