"""The commands that become a shell on the host, as the login user or as root, and the talk with sudo and su. Used by the session.

The password is typed when it is asked for, never part of a command or an environment. A shell that was started this way skips
its input up to a start word, so that nothing of a script can be run when a login file has eaten its beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.text import Text, say
from runtime.adapters.ssh import words
from runtime.adapters.ssh.shell import Shell
from runtime.domain.errors import Permanent
from runtime.domain.model import Outcome, Reason
from runtime.domain.script import quote

_SKIP = 'while IFS= read -r l; do [ "$l" = {start} ] && exec /bin/sh -s; done; exit 97'
# A terminal passes our bytes on only when it is raw, and has no end of input: so the script's size is given.
_TYPED = 'stty raw -echo; printf "%s\\n" {start}go; eval "$(dd bs=1 count={size} 2>/dev/null)"'
_PAD = b"\n\n\n"  # for login files that read a line or two


@dataclass(frozen=True, slots=True)
class Way:
    """How one shell is started. ``go``: what it says when it is root's; ``asks``: whether a greeting asks for the password;
    ``begun``: what it says before that, when the login is over."""

    command: str
    input: bytes
    terminal: bool = False
    go: bytes = b""
    asks: Callable[[bytes], bool] = lambda _: False
    begun: bytes = b""


def plain(start: str, script: bytes) -> Way:
    return Way(f"exec /bin/sh -c {quote(_SKIP.format(start=start))}", _skipped(start, script))


def sudo(start: str, script: bytes) -> Way:
    # Prompts are recognised by the start word. PAM replaces them by its own unless they are in English.
    inner = f'printf "%s\\n" {start}go; ' + _SKIP.format(start=start)
    command = f"exec env LC_ALL=C sudo -S -p {start}? -- /bin/sh -c {quote(inner)}"
    return Way(command, _skipped(start, script), False, *_marks(start))


def sudo_on_terminal(start: str, script: bytes) -> Way:
    """For sudoers with requiretty."""
    inner = _TYPED.format(start=start, size=len(script))
    return Way(f"exec env LC_ALL=C sudo -p {start}? -- /bin/sh -c {quote(inner)}", script, True, *_marks(start))


def su(start: str, script: bytes) -> Way:
    """On a terminal, because some su read a password from nothing else."""
    inner = f"exec /bin/sh -c {quote(_TYPED.format(start=start, size=len(script)))}"
    # What is typed is hidden from the start, whatever it is that asks.
    outer = f'stty -echo || :; printf "%s\\n" {start}su; exec env LC_ALL=C su root -c {quote(inner)}'
    begun = f"{start}su".encode("ascii")

    def asks(greeting: bytes) -> bool:
        _, found, text = greeting.partition(begun)
        return bool(found) and words.asks_for_password(text)

    return Way(f"exec /bin/sh -c {quote(outer)}", script, True, f"{start}go".encode("ascii"), asks, begun)


async def overcome(shell: Shell, way: Way, user: str, password: str | None) -> None:
    """Get past the question for the password, in one attempt. Raises Permanent when root is denied, else TerminalWanted."""
    answered = False
    while True:
        question = await shell.until_asked(lambda: way.go in shell.greeting or way.asks(bytes(shell.greeting)))
        if way.go in shell.greeting:
            return
        asked = not question and not shell.closed and way.asks(bytes(shell.greeting))
        if answered or not asked or not password:
            break
        answered = True
        shell.greeting.clear()
        shell.tail.clear()
        shell.write(password.encode("utf-8", "surrogateescape") + b"\n")
    shell.close()
    if not way.terminal and b"have a tty" in shell.greeting:
        raise TerminalWanted
    if asked:
        why = (
            say("the password was not accepted")
            if answered
            else say("a password is asked for, and the credential has none")
        )
        raise Permanent(Outcome.FAILED, Reason.PRIVILEGE_DENIED, _not_root(user, why))
    inside = answered or (bool(way.begun) and way.begun in shell.greeting)
    output = bytes(shell.greeting)
    raise denied(user, output.rpartition(way.begun)[2] if way.begun else output, question, inside=inside)


def denied(user: str, output: bytes, question: str, *, inside: bool) -> Permanent:
    """Why no shell came, in the terminal's words. ``question``: what it waits for; ``inside``: the login itself was over."""
    text = words.said(output.replace(b"\r", b"\n"))
    last = _last_line(bytearray(output)) or say("no answer")
    refused = say("{user} could not become root", user=user) if inside else say("{user} gets no shell", user=user)
    if words.tells_of_expiry(text):
        what = say(
            "{what}: a password has expired and must be changed first. The terminal says: {said}",
            what=refused,
            said=text,
        )
        return Permanent(Outcome.FAILED if inside else Outcome.UNREACHABLE, Reason.PASSWORD_EXPIRED, what)
    if question:
        what = say(
            "{what}: something asks and waits, and was not answered: {question}", what=refused, question=question
        )
        return Permanent(Outcome.FAILED if inside else Outcome.UNREACHABLE, Reason.LOGIN_QUESTION, what)
    return Permanent(Outcome.FAILED, Reason.PRIVILEGE_DENIED, _not_root(user, last))


def _not_root(user: str, why: str) -> Text:
    return say("{user} could not become root: {why}", user=user, why=why)


class TerminalWanted(Exception):
    """sudo runs only on a terminal here."""


def _marks(start: str) -> tuple[bytes, Callable[[bytes], bool]]:
    prompt = f"{start}?".encode("ascii")
    return f"{start}go".encode("ascii"), lambda greeting: prompt in greeting


def _skipped(start: str, script: bytes) -> bytes:
    return _PAD + start.encode("ascii") + b"\n" + script


def _last_line(greeting: bytearray) -> str:
    lines = [line for line in map(words.said, bytes(greeting).splitlines()) if line]
    return lines[-1] if lines else ""
