"""A login that asks, warns or sends away: reported within seconds in the terminal's own words, and nothing is typed into it but
the password, where that is asked for and hidden."""

import subprocess
import time
from collections.abc import Callable, Sequence

import pytest

from runtime.domain.model import Outcome, Reason
from tests.harness.fixtures import StartTerminal
from tests.harness.ports import LOOPBACK
from tests.harness.terminals import Account, Terminal, TerminalSpec
from tests.integration.ssh_parts import Doorman, State, a_host, a_remote, ended, get_in, password, refusal, run

SECONDS = 12  # a command may take 60, a login 30
PASSWORD = ("Password: ", False)
Round = tuple[str, Sequence[tuple[str, bool]]]
KEYBOARD = ("keyboard-interactive",)

# rounds of the dialogue, what was typed, reason, words
DIALOGUES: dict[str, tuple[list[Round], list[str], Reason, str]] = {
    "a prompt that echoes": ([("", [("Password: ", True)])], [], Reason.LOGIN_QUESTION, "Password:"),
    "two prompts at once": (
        [("", [("User: ", False), ("Password: ", False)])],
        [],
        Reason.LOGIN_QUESTION,
        "User: Password:",
    ),
    "a code after the password": (
        [("", [PASSWORD]), ("", [("Verification code: ", False)])],
        ["right"],
        Reason.LOGIN_QUESTION,
        "Verification code:",
    ),
    "a forced change after the password": (
        [
            ("", [PASSWORD]),
            ("You are required to change your password immediately", [("Current password: ", False)]),
        ],
        ["right"],
        Reason.PASSWORD_EXPIRED,
        "You are required to change your password immediately",
    ),
    "a new password first": ([("", [("New password: ", False)])], [], Reason.PASSWORD_EXPIRED, "New password:"),
    "the same question again": (
        [("", [PASSWORD]), ("", [PASSWORD])],
        ["right"],
        Reason.AUTH_FAILED,
        "refused the login",
    ),
    "rounds without end that ask nothing": ([("wait\x1b[5m", [])] * 500, [""] * 8, Reason.AUTH_FAILED, "wait"),
}


@pytest.mark.parametrize(("rounds", "typed", "reason", "says"), DIALOGUES.values(), ids=DIALOGUES)
def test_a_dialogue_that_is_no_password_prompt_is_reported_and_not_answered(
    rounds: list[Round], typed: list[str], reason: Reason, says: str
) -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, KEYBOARD, dialogue=rounds).at_work() as door:
            error = await refusal(a_remote(password("root", "right")), a_host(LOOPBACK, door.port))
            assert [what for _, _, what in door.tried] == typed
        assert ended(error) == (Outcome.UNREACHABLE, reason)
        assert says in error.message
        assert error.message.isprintable()

    run(scene())


def test_the_password_is_given_after_lines_that_ask_nothing() -> None:
    async def scene() -> None:
        rounds: list[Round] = [("Bem-vindo", []), ("", [PASSWORD])]
        async with Doorman({"root": "right"}, KEYBOARD, dialogue=rounds).at_work() as door:
            await get_in(a_remote(password("root", "right")), a_host(LOOPBACK, door.port))
            assert [what for _, _, what in door.tried] == ["", "right"]

    run(scene())


@pytest.mark.parametrize("methods", [(), KEYBOARD, ("password", "keyboard-interactive")])
def test_a_server_that_says_no_is_not_asked_again_until_the_time_is_over(methods: Sequence[str]) -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, methods).at_work() as door:
            begun = time.monotonic()
            error = await refusal(a_remote(password("root", "wrong"), connect_timeout=30), a_host(LOOPBACK, door.port))
            assert ended(error) == (Outcome.UNREACHABLE, Reason.AUTH_FAILED)
            assert time.monotonic() - begun < SECONDS
            assert len(door.tried) <= 1

    run(scene())


def test_a_dialogue_that_is_refused_without_a_question_is_started_once() -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, KEYBOARD, prompt="").at_work() as door:
            error = await refusal(a_remote(password("root", "right"), connect_timeout=5), a_host(LOOPBACK, door.port))
            assert ended(error) == (Outcome.UNREACHABLE, Reason.AUTH_FAILED)
            assert door.dialogues == 1

    run(scene())


PARTINGS = {
    "a closed door": ("System is going down.\r\n", Reason.LOGIN_REFUSED, "System is going down."),
    "words that nobody knows": ("Volte amanhã\x1b[2J\u202e", Reason.LOGIN_REFUSED, "Volte amanhã"),
    "an expired password": ("Your password has expired.", Reason.PASSWORD_EXPIRED, "Your password has expired."),
    "a flood": ("no " * 10_000, Reason.LOGIN_REFUSED, "no no no"),
}


@pytest.mark.parametrize(("parting", "reason", "says"), PARTINGS.values(), ids=PARTINGS)
def test_what_the_server_says_before_it_hangs_up_is_passed_on(parting: str, reason: Reason, says: str) -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, banner="Staff only", parting=parting).at_work() as door:
            error = await refusal(a_remote(password("root", "right")), a_host(LOOPBACK, door.port))
        assert ended(error) == (Outcome.UNREACHABLE, reason)
        assert says in error.message
        assert "Staff only" not in error.message
        assert error.message.isprintable()
        assert len(error.message) < 500

    run(scene())


def test_a_wrong_password_is_still_reported_as_one_behind_a_banner() -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, banner="Authorised staff only").at_work() as door:
            error = await refusal(a_remote(password("root", "wrong")), a_host(LOOPBACK, door.port))
            assert ended(error) == (Outcome.UNREACHABLE, Reason.AUTH_FAILED)
            assert "The terminal says: Authorised staff only" in error.message

    run(scene())


def test_another_credential_may_be_accepted_where_the_first_is_refused() -> None:
    async def scene() -> None:
        state = State()
        async with Doorman({"ana": "1"}).at_work() as door:
            host = a_host(LOOPBACK, door.port)
            await get_in(a_remote(password("ana", "1"), state=state), host)
            state.notes.clear()
            door.accepts = {"bia": "2"}
            await get_in(a_remote(password("ana", "1"), password("bia", "2"), state=state), host)

    run(scene())


ACCOUNTS = (
    Account("root", password="terminal"),
    Account("ana", password="secret", sudo="password"),
    Account("exp", password="secret", sudo="password"),
    Account("eva", password="secret", sudo="nopasswd"),
)


def inside(terminal: Terminal, *argv: str) -> None:
    subprocess.run(["nsenter", "--target", str(terminal._pid), "--pid", "--mount", *argv], check=True, timeout=30)


@pytest.fixture(scope="module")
def terminal(shared_terminal: StartTerminal) -> Terminal:
    asks = "printf 'Digite a loja: '; read x; echo ok\n"
    ready = shared_terminal(TerminalSpec(hostname="asks", accounts=ACCOUNTS, files={"/home/eva/.bashrc": asks}))
    inside(ready, "chage", "-d", "0", "exp")
    return ready


def su(user: str) -> object:
    return password(user, "secret", elevation="su", elevation_password="terminal")


REAL = {
    "an expired password without a terminal": (
        password("exp", "secret"),
        False,
        "unreachable",
        "password_expired",
        "Password",
    ),
    "an expired password, then sudo": (password("exp", "secret"), True, "unreachable", "password_expired", "no TTY"),
    "an expired password on a terminal": (
        su("exp"),
        True,
        "unreachable",
        "password_expired",
        "Your password has expired",
    ),
    "a login file that asks": (password("eva", "secret"), True, "unreachable", "login_question", "Digite a loja:"),
    "a login file that asks on a terminal": (su("eva"), True, "unreachable", "login_question", "Digite a loja:"),
}


@pytest.mark.parametrize(("credential", "privileged", "outcome", "reason", "says"), REAL.values(), ids=REAL)
def test_a_real_terminal_that_asks_is_reported_in_seconds(
    terminal: Terminal, credential: object, privileged: bool, outcome: str, reason: str, says: str
) -> None:
    begun = time.monotonic()
    remote, host = a_remote(credential), a_host(terminal.address, terminal.port)  # type: ignore[arg-type]
    error = run(refusal(remote, host, privileged=privileged, timeout=40))
    assert (error.outcome, error.reason) == (outcome, reason)
    assert says in error.message
    assert time.monotonic() - begun < SECONDS
    assert "secret" not in error.message


def expire_root(terminal: Terminal) -> None:
    inside(terminal, "chage", "-d", "0", "root")


def close_door(terminal: Terminal) -> None:
    terminal.write("/etc/nologin", "Back at nine.\n")


FRESH: dict[str, tuple[tuple[str, ...], Callable[[Terminal], None], object, tuple[str, str], str]] = {
    "root's expired password": ((), expire_root, su("ana"), ("failed", "password_expired"), "required to change"),
    "nologin": ((), close_door, password("ana", "secret"), ("unreachable", "login_refused"), "Back at nine."),
    "nologin without PAM": (
        ("UsePAM no",),
        close_door,
        password("ana", "secret"),
        ("unreachable", "login_refused"),
        "Back at nine.",
    ),
    "an expired password at the keyboard": (
        ("PasswordAuthentication no", "KbdInteractiveAuthentication yes"),
        lambda terminal: inside(terminal, "chage", "-d", "0", "ana"),
        password("ana", "secret"),
        ("unreachable", "password_expired"),
        "required to change your password",
    ),
    "a locked account": (
        (),
        lambda terminal: inside(terminal, "chage", "-E", "0", "ana"),
        password("ana", "secret"),
        ("unreachable", "login_refused"),
        "account has expired",
    ),
    "a shell that lets nobody in": (
        (),
        lambda terminal: inside(terminal, "usermod", "-s", "/usr/sbin/nologin", "ana"),
        password("ana", "secret"),
        ("unreachable", "login_refused"),
        "account is currently not available",
    ),
}


@pytest.mark.parametrize(("lines", "prepare", "credential", "ending", "says"), FRESH.values(), ids=FRESH)
def test_a_real_terminal_that_refuses_every_login_is_reported_in_its_own_words(
    start_terminal: StartTerminal,
    lines: tuple[str, ...],
    prepare: Callable[[Terminal], None],
    credential: object,
    ending: tuple[str, str],
    says: str,
) -> None:
    terminal = start_terminal(TerminalSpec(accounts=ACCOUNTS, sshd_lines=lines))
    prepare(terminal)
    begun = time.monotonic()
    remote, host = a_remote(credential), a_host(terminal.address, terminal.port)  # type: ignore[arg-type]
    error = run(refusal(remote, host, privileged=ending[0] == "failed", timeout=40))
    assert ended(error) == ending
    assert says in error.message
    assert time.monotonic() - begun < SECONDS
