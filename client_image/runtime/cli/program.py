"""What every command of `flageemonitor-run` is built from: groups that know near names, shared options, one place for errors.

Only click is imported here: a command loads what it needs and nothing else, because somebody waits for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from commandline import help as pages
from contracts.text import say

if TYPE_CHECKING:
    from runtime.adapters.state.store import State
    from runtime.cli.output import Out
    from runtime.wiring import Installation

PROGRAM = "flageemonitor-run"
UTC = "flageemonitor.utc"  # where --utc is kept for the command that reads it


class Group(pages.Group):
    """A group of commands that offers the nearest ones for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            if near := _near(args[0], self.commands):
                ctx.fail(say("No such command {name}: did you mean {near}?", name=args[0], near=_either(near)))
            known = ", ".join(sorted(self.commands))
            ctx.fail(say("No such command {name}; commands: {known}", name=args[0], known=known))
        return super().resolve_command(ctx, args)


class Program(Group):
    """Commands first; any other first word is an action's name, unless it is like a command and like no action."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            if not _is_ours(args[0]) and _near(args[0], self.commands) and not _is_action(args[0]):
                return super().resolve_command(ctx, args)
            return "run", self.commands["run"], args
        return super().resolve_command(ctx, args)


def _either(words: list[str]) -> str:
    return say("{first} or {second}", first=words[0], second=words[1]) if len(words) > 1 else words[0]


def _near(word: str, words: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(word.lower(), list(words), n=2, cutoff=0.75)


def _is_ours(word: str) -> bool:
    """Whether an action of ours has this name: its run needs the catalogue anyway, and not what finds near names."""
    from runtime.actions.registry import registered

    return word.lower() in registered().names


def _is_action(word: str) -> bool:
    """Asked only for a word that is like a command: what an image carries takes a moment to read."""
    from runtime.actions.registry import registered
    from runtime.adapters.assets import find_root, load
    from runtime.domain.errors import RunError

    names = registered().names
    try:
        providers = load(find_root(), names).providers.values()
    except RunError:
        providers = {}.values()
    return word.lower() in {*names, *(name for provider in providers for name in provider.actions)}


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    form = click.option(
        "--output",
        type=click.Choice(["table", "json", "ndjson"]),
        help="Default: a table on a terminal, tab-separated lines in a pipe.",
    )
    utc = click.option(
        "--utc",
        is_flag=True,
        expose_value=False,
        callback=_note_utc,
        help="Show times in UTC, not in the network's zone.",
    )
    return form(utc(pages.lang_option(function)))


def _note_utc(context: click.Context, _option: click.Parameter, given: bool) -> None:
    context.meta[UTC] = given or context.meta.get(UTC, False)


def guarded(output: str | None, work: Callable[[Installation, Out], int], *, reading: bool = False) -> None:
    """Run a command with its surroundings, and end with its exit code. ``reading``: it goes on where nothing can be recorded."""
    with surroundings(output, reading=reading) as (installation, out):
        code = work(installation, out)
    sys.exit(code)


@contextlib.contextmanager
def surroundings(output: str | None, *, reading: bool = False) -> Iterator[tuple[Installation, Out]]:
    """What a command works with. Every error becomes a message, advice and an exit code, here and nowhere else: raises
    SystemExit."""
    from runtime.adapters.state.errors import StateUnavailable
    from runtime.cli.output import choose
    from runtime.domain.errors import RunError
    from runtime.settings import read_settings
    from runtime.wiring import Installation

    out = choose(output)
    try:
        utc = bool(click.get_current_context().meta.get(UTC))
        with Installation(read_settings(os.environ), reading=reading, utc=utc) as installation:
            out.zone = lambda: installation.zone
            try:
                yield installation, out
            except StateUnavailable:  # says it itself
                raise
            except RunError:
                _warn_of_state(installation.opened, out)
                raise
            _warn_of_state(installation.opened, out)
    except RunError as error:
        out.error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before a run listens to it itself
        sys.exit(130)


def _warn_of_state(state: State | None, out: Out) -> None:
    """What happened to the local state while a command used it: a damaged database was replaced, or nothing can be recorded."""
    if state is None:
        return
    for notice in state.notices:
        out.warn(notice)
    if state.trouble is not None:
        out.warn(state.trouble.message)
        out.advise(state.trouble.advice)
