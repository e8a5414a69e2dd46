"""What a terminal says about a login, as one clean line, and which kind of no it is. Pure; called by the login and the session.

The patterns choose a reason code only. Whatever they do not know is still reported, in the terminal's own words. They are
searched on the event loop of all hosts, in text that one host chooses: so none has a part without a limit, and the text has one.
"""

from __future__ import annotations

import re

from runtime.domain.model import Reason

SHOWN = 300  # characters of a message that are passed on
KEPT = 4096  # of a banner that never ends; no more of any text is searched

# Not every text about passwords is one: what a greeting advises must not pass for a demand.
# The terminal's language is not ours to choose before the login: English, Portuguese and Spanish are read.
_EXPIRED = (
    r"password (has |is )?expired|expired password|account or password is expired",
    r"(required|need|have|must|forced?) to (change|reset) (your|the) password|must (change|reset) (your|the) password",
    r"password (change|must be changed|change is) (is )?required|changing password for",
    r"(new|current|old) (unix )?password:|\((current|new)\) unix password|retype .{0,80}password:",
    r"senha (est[aá] )?(expirou|expirada|venceu|vencida)",
    r"(deve|precisa|ter[aá]|tem (que|de)|necess[aá]rio|obrigat[oó]rio) (mudar|trocar|alterar|redefinir) (a )?(sua )?senha",
    r"(nova|atual|antiga) senha:|senha (unix )?\(?(nova|atual|antiga)\)?:",
    r"contraseña (ha )?(caducado|expirado|vencida)|debe cambiar (la|su) contraseña",
    r"(nueva|actual) contraseña:|contraseña (nueva|actual):",
)
_CLOSED = (
    r"account (has expired|is (locked|disabled|expired)|locked|disabled)|(locked|disabled) account",
    r"not (permitted|allowed) to log ?in|logins? (is |are )?(disabled|not allowed|not permitted)|system is going down",
    r"account is (currently )?not available|access denied by",
    r"conta (est[aá] )?(bloqueada|desativada|expirada|expirou)|acesso bloqueado|em manuten[cç][aã]o",
)
_PASSWORD = ("password|passphrase|senha|contraseña|passwort|kennwort|mot de passe",)
# What a program that waits for an answer leaves at the end of its output, with the cursor behind it and without.
_ASKING = re.compile(r"[:?>\])]\s*$")
_ASKING_LINE = re.compile(r"[:?]\s*$")
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-_])")


def said(text: bytes | str) -> str:
    """One line without control characters, at most SHOWN characters long."""
    if isinstance(text, bytes):
        text = text[: KEPT * 4].decode("utf-8", "replace")
    text = _ESCAPES.sub("", text[: KEPT * 4])
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def tells_of_expiry(text: str) -> bool:
    """Whether the password has to be changed first. Also for a question that only a forced change asks."""
    return _any(_EXPIRED, text)


def tells_of_closed_door(text: str) -> bool:
    """Whether the account or the terminal lets nobody in for now, whatever the password."""
    return _any(_CLOSED, text)


def refusal(text: str, other: Reason) -> Reason:
    """The reason that the words give, ``other`` when they give none."""
    if tells_of_expiry(text):
        return Reason.PASSWORD_EXPIRED
    return Reason.LOGIN_REFUSED if tells_of_closed_door(text) else other


def open_question(output: bytes) -> str:
    """The line at the end of the output that seems to wait for an answer; empty when the output does not end like a question."""
    lines = [line for line in output[-KEPT:].replace(b"\r", b"\n").split(b"\n") if line.strip()]
    if not lines:
        return ""
    last = said(lines[-1])
    ends = _ASKING_LINE if output.endswith((b"\n", b"\r")) else _ASKING
    return last if ends.search(last) else ""


def asks_for_password(output: bytes) -> bool:
    """Whether the output has stopped at a question for a password, and for nothing else: not for a code, a name or a new one."""
    end = output.rstrip(b" ")
    if not end.endswith(b":"):
        return False
    return _any(_PASSWORD, said(re.split(rb"[\r\n]", end)[-1])) and not tells_of_expiry(said(output))


def patience(question: str) -> float:
    """Seconds of silence after which such a line is a question that waits. A slow terminal may pause after any line."""
    return 1.5 if tells_of_expiry(question) else 6.0


def _any(patterns: tuple[str, ...], text: str) -> bool:
    text = text[:KEPT]
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)
