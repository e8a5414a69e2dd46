"""`flageemonitor-run`: argv to exit code. The commands are in :mod:`runtime.cli.commands`."""

from __future__ import annotations

import gc
import os
import sys

import click

from commandline.errors import problem_of, show_error
from commandline.language import choose_language
from contracts import core_dumps
from contracts.text import say
from contracts.visible import not_text
from runtime.cli.commands import cli
from runtime.cli.program import PROGRAM


def _refused(error: Exception, words: list[str]) -> int:
    """The exit code where no command ended by itself: what the option parser refuses is an error like every other where a program
    reads the output."""
    if isinstance(error, click.Abort):
        return 130
    if not isinstance(error, click.ClickException):  # the reader of a help text went away
        from runtime.adapters.streams import hush

        hush(sys.stdout)
        return 1
    form = _form_in(words)
    if form is None:
        show_error(error)
        return error.exit_code
    from runtime.cli.output import choose
    from runtime.domain.errors import UsageFault

    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else PROGRAM
    choose(form).error(UsageFault("bad_usage", problem_of(error), f"{command} --help"))
    return UsageFault.exit_code


def _form_in(words: list[str]) -> str | None:
    """The JSON form that the words ask for: they could not be parsed, so they are looked through."""
    pairs = zip(words, [*words[1:], ""], strict=False)
    said = [after if word == "--output" else word.partition("=")[2] for word, after in pairs if _is_output(word)]
    return said[-1] if said and said[-1] in ("json", "ndjson") else None


def _is_output(word: str) -> bool:
    return word == "--output" or word.startswith("--output=")


def main() -> None:
    """Entry point of the console script and of `python -m runtime.main`."""
    if not any(os.environ.get(name) for name in ("LOGNAME", "USER")):
        # The container's uid 10001 has no entry among the system's users; asyncssh and getpass ask for its name.
        os.environ["LOGNAME"] = "flageemonitor"
    # Else pydantic looks through every installed package for plugins, at each start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    core_dumps.switch_off()
    gc.disable()  # nothing that the libraries make while they load is garbage; a run looks for some again once it has hosts
    words = sys.argv[1:]
    choose_language(words)
    try:
        if strange := not_text(words):
            text = say("{word} is not text in the encoding of this terminal; nothing was done", word=strange)
            raise click.UsageError(text)
        code = int(cli(words, prog_name=PROGRAM, standalone_mode=False) or 0)
    except (click.Abort, click.ClickException, BrokenPipeError) as error:
        code = _refused(error, words)
    finally:
        gc.freeze()  # else the interpreter looks through everything once more before it ends
    sys.exit(code)


if __name__ == "__main__":
    main()
