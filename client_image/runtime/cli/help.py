"""Help pages in the chosen language. Commands and options are declared in English; their texts are translated when shown."""

from __future__ import annotations

import click

from contracts.help_pages import translated
from contracts.text import say
from runtime.cli.language import looked_up, shown

# click's own, which it gives to every command.
OF_CLICK = (say("Show this message and exit."), say("Show the version and exit."))


class Command(click.Command):
    """A command whose help page is in the reader's language."""

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
        return super().get_short_help_str(limit)


class Group(Command, click.Group):
    """A group of commands, likewise."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Command.format_options(self, ctx, formatter)
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        limit = formatter.width - 6 - max(len(name) for name, _ in commands)
        with formatter.section(shown(say("Commands"))):
            formatter.write_dl(
                [(name, one.get_short_help_str(limit)) for name, one in commands if one and not one.hidden]
            )


def _option_row(option: click.Option, ctx: click.Context) -> tuple[str, str] | None:
    """The option as it is typed, and what it does, with its default and limits."""
    record = option.get_help_record(ctx)
    if record is None:
        return None
    words, english = record
    about = option.help or ""
    more = english.removeprefix(about).replace("[default: ", f"[{shown(say('default: '))}")
    return words, looked_up(about) + more
