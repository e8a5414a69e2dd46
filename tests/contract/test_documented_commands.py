"""Every command line in the README and in the pages is one that the programs accept: commands and options.

Commands of the host that are shell scripts take no more than their help names.
"""

import re
import shlex
from pathlib import Path

import click
import pytest

from runtime.cli.commands import cli as proxy
from server.cli import cli as control_plane

ROOT = Path(__file__).parents[2]
PROGRAMS: dict[str, click.Group] = {"flageemonitor-run": proxy, "flagee-server": control_plane}
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
CALL = re.compile(rf"^(?:sudo )?({'|'.join(PROGRAMS)}) (.+)$")
PLACEHOLDER = re.compile(r"^(ACTION|AÇÃO)\b")
# What follows is no argument: a comment, the next program, an ellipsis, an explanation in a column of its own.
TAIL = re.compile(r"\s+#.*|\s*[|>(&…].*|\s{3,}.*")


def code_lines(text: str) -> list[str]:
    lines = [code.strip() for code in re.findall(r"`([^`\n]+)`", text)]
    for fence in re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        lines += [line.strip() for line in fence.splitlines()]
    return lines


def command_lines(text: str) -> list[tuple[str, list[str]]]:
    calls = [found for line in code_lines(text) if (found := CALL.match(line))]
    return [(call[1], shlex.split(PLACEHOLDER.sub("diagnose_env", TAIL.sub("", call[2])))) for call in calls]


def parse(program: str, words: list[str]) -> None:
    """Raises click.UsageError. Nothing is invoked; a missing argument is no fault, since a page may name a command alone."""
    command: click.Command = PROGRAMS[program]
    context = click.Context(command, info_name=program)
    while True:
        wanted = [option for option in ("--help", "-h", "--version") if option in words]
        words = [word for word in words if word not in wanted]
        try:
            context = command.make_context(context.info_name, words, parent=context.parent)
        except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
            return
        if not isinstance(command, click.Group) or not (rest := [*context._protected_args, *context.args]):
            return
        name, found, words = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=name)


HOST_COMMANDS = {
    "update-image": "update-image",
    "update-config": "update-config",
    "logs": "logs",
    "watchtower-logs": "logs",
    "uninstall": "uninstall",
}
HOST_CALL = re.compile(rf"^(?:sudo )?\w+-({'|'.join(HOST_COMMANDS)})((?: .*)?)$")


def host_calls(text: str) -> list[tuple[str, list[str]]]:
    """Command and options of each call of a shell script, by whatever name its runtime has."""
    calls = [found for line in code_lines(text) if (found := HOST_CALL.match(line))]
    return [(call[1], [word for word in shlex.split(TAIL.sub("", call[2])) if word.startswith("-")]) for call in calls]


def options_of(command: str, language: str) -> set[str]:
    help_text = (ROOT / f"wrappers/help/{HOST_COMMANDS[command]}.{language}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_text))


@pytest.mark.parametrize("page", PAGES)
def test_every_option_of_a_host_s_command_is_in_its_help(page: str) -> None:
    unknown = [
        (command, option)
        for command, options in host_calls((ROOT / page).read_text(encoding="utf-8"))
        for option in options
        for language in ("en", "pt")
        if option.partition("=")[0] not in options_of(command, language)
    ]
    assert unknown == []


def test_calls_of_host_commands_are_found_in_the_pages() -> None:
    found = [call for page in PAGES for call in host_calls((ROOT / page).read_text(encoding="utf-8"))]
    assert {command for command, _ in found} == set(HOST_COMMANDS)
    assert ("uninstall", ["--dry-run"]) in found


@pytest.mark.parametrize("page", ["docs/operations/install.md", "docs/pt-BR/install.md"])
def test_the_table_of_the_installer_s_options_is_complete(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {
        option for row in re.findall(r"^\| (`--.*?) \|", text, re.MULTILINE) for option in re.findall(r"--[a-z-]+", row)
    }
    script = (ROOT / "bootstrap/install.sh").read_text(encoding="utf-8")
    taken = {
        option
        for line in re.findall(r"^ +\((-[^:)]*)\)", script, re.MULTILINE)
        for option in re.findall(r"--[a-z-]+[a-z]", line)
    }
    assert len(taken) > 15
    assert named - taken == set()
    assert taken - named <= {"--keep-data", "--yes"}, "these two only answer questions"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_a_page_is_accepted(page: str) -> None:
    faults = []
    for program, words in command_lines((ROOT / page).read_text(encoding="utf-8")):
        try:
            parse(program, words)
        except click.UsageError as error:
            faults.append(f"{program} {shlex.join(words)}: {error.format_message()}")
    assert faults == []


def test_the_pages_have_command_lines() -> None:
    found = [call for page in PAGES for call in command_lines((ROOT / page).read_text(encoding="utf-8"))]
    assert {program for program, _ in found} == set(PROGRAMS)
    assert len(found) > 100


@pytest.mark.parametrize(
    "words", [["runz"], ["doctor", "--loja", "1"], ["run", "diagnose_env", "--stoer", "1"], ["hosts", "settel"]]
)
def test_a_command_line_that_no_program_accepts_is_found(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse("flageemonitor-run", words)
