"""What a terminal says about a login: cleaned, and told apart as a forced change, a closed door, a question."""

import pytest

from runtime.adapters.ssh import words
from runtime.domain.model import Reason

CHANGES = [
    "WARNING: Your password has expired.",
    "You must change your password now and login again!",
    "You are required to change your password immediately (administrator enforced).",
    "Password change required but no TTY available.",
    "(current) UNIX password: ",
    "Current password: ",
    "Enter new UNIX password: ",
    "sudo: Account or password is expired, reset your password and try again",
    "Sua senha expirou",
    "Você deve trocar sua senha agora",
    "Nova senha: ",
    "Senha atual: ",
]
CLOSED = [
    "Your account has expired; please contact your system administrator.",
    "The account is locked due to 3 failed logins.",
    "System is going down. Unprivileged users are not permitted to log in anymore.",
    "This account is currently not available.",
    "Conta bloqueada",
]
ADVICE = [
    "Please change your password every month.",
    "Troque sua senha periodicamente.",
    "Ask 1234 for a new password.",
    "Acesso negado",
]
NEITHER = [
    *ADVICE,
    "",
    "Password: ",
    "Senha: ",
    "Welcome to till 203",
    "Only authorised staff. All access is recorded.",
    "id: denied",
]


@pytest.mark.parametrize("text", CHANGES)
def test_a_forced_change_is_recognised(text: str) -> None:
    assert words.refusal(text, Reason.AUTH_FAILED) is Reason.PASSWORD_EXPIRED


@pytest.mark.parametrize("text", CLOSED)
def test_a_login_that_is_forbidden_is_recognised(text: str) -> None:
    assert words.refusal(text, Reason.AUTH_FAILED) is Reason.LOGIN_REFUSED


@pytest.mark.parametrize("text", NEITHER)
def test_other_text_keeps_the_reason(text: str) -> None:
    assert words.refusal(text, Reason.AUTH_FAILED) is Reason.AUTH_FAILED


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"one\r\ntwo\n", "one two"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07end\x00\x08", "red end"),
        ("C1 \x9b31m, bidi \u202eevil\u202c, zero \u200bwidth", "C1 31m, bidi evil , zero width"),
        (b"caf\xe9", "caf\ufffd"),
        ("x" * 1000, "x" * 299 + "…"),
    ],
)
def test_the_servers_text_becomes_one_clean_short_line(raw: bytes | str, line: str) -> None:
    assert words.said(raw) == line


@pytest.mark.parametrize(
    ("output", "asks"),
    [
        (b"Password: ", True),
        (b"\r\nSenha:", True),
        (b"The account is locked due to 3 failed logins.\r\nPassword: ", True),
        (b"", False),
        (b"Verification code: ", False),
        (b"login: ", False),
        (b"New password: ", False),
        (b"You are required to change your password immediately.\r\nPassword: ", False),
        (b"Password: \r\n", False),
        (b"Password accepted", False),
    ],
)
def test_only_a_question_for_the_password_asks_for_it(output: bytes, asks: bool) -> None:
    assert words.asks_for_password(output) is asks


@pytest.mark.parametrize(
    ("output", "question"),
    [
        (b"Digite a loja: ", "Digite a loja:"),
        (b"Digite a loja:\r\n", "Digite a loja:"),
        (b"1) vendas\r\n2) sair\r\n[1-2]> ", "[1-2]>"),
        (b"Continue? (y/n)", "Continue? (y/n)"),
        (b"Changing password for exp.\r\nCurrent password: ", "Current password:"),
        (b"", ""),
        (b"sudo: unable to resolve host till\n", ""),
        (b"Checking mail...", ""),
        (b"You must change your password some day.\n", ""),
    ],
)
def test_a_question_at_the_end_of_the_output_is_found(output: bytes, question: str) -> None:
    assert words.open_question(output) == question
