"""Our side of a login: which host key is accepted, which question gets the password, and what is kept of the server's words."""

import errno
import subprocess
import sys
import time
from typing import Any

import asyncssh
import pytest

from runtime.adapters.ssh import failures, words
from runtime.adapters.ssh.client import SILENT_ROUNDS, Client
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.model import Host
from runtime.domain.ports import PinnedKey

PASSWORD = "the password"
LARGEST = 256 * 1024  # characters; asyncssh takes packets of that size
LIMIT_S = 20.0  # of the processor; a search that looks at every pair of places takes minutes


def _client() -> Client:
    return Client(None, trust_new=True, password=PASSWORD, keys=[])


@pytest.mark.parametrize(
    "flood", ["retype ", "password ", "a", " ", "\x1b[", "\x1b]", "need to change ", "senha unix "]
)
def test_instructions_of_any_length_cost_little(flood: str) -> None:
    client, long = _client(), flood * (LARGEST // len(flood))
    began = time.process_time()
    for _ in range(3):
        assert client.kbdint_challenge_received(long, long, "", []) == []
        client.auth_banner_received(long, "")
        assert len(client.greeting) <= words.KEPT
    assert client.kbdint_challenge_received(long, long, "", [("Password: ", False)]) == [PASSWORD]
    client.auth_banner_received(long, "")
    assert len(client.answer) <= words.KEPT
    assert len(client.words) <= 300
    assert time.process_time() - began < LIMIT_S


@pytest.mark.parametrize("flood", ["", "retype ", "Welcome. "])
@pytest.mark.parametrize("question", ["New password: ", "Retype new UNIX password: ", "Nova senha: "])
def test_a_question_for_a_new_password_gets_none_behind_instructions_of_any_length(flood: str, question: str) -> None:
    client = _client()
    assert client.kbdint_challenge_received("", flood * 30_000, "", [(question, False)]) is None
    assert client.expired
    assert not flood or client.words
    assert flood or client.words == question.strip()


def test_instructions_that_demand_a_change_are_recognised() -> None:
    client = _client()
    text = "Welcome to the shop. " * 30 + "You are required to change your password immediately."
    assert client.kbdint_challenge_received("", text, "", [("Password: ", False)]) is None
    assert client.expired


def test_loading_the_ssh_library_starts_no_other_program() -> None:
    code = """
import sys
started = []
sys.addaudithook(lambda event, values: started.append(values[0]) if event == "subprocess.Popen" else None)
import runtime.adapters.ssh.client
import ctypes.util
from asyncssh.kex import get_kex_algs
print(len(started), b"mlkem768x25519-sha256" in get_kex_algs(), ctypes.util.find_library.__module__)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["0", "True", "ctypes.util"]


HIDDEN, SHOWN = False, True
ASKED = [("Password: ", HIDDEN)]
# what the server asks, round by round -> what it gets, and the question that is reported as one that nobody here may answer
DIALOGUES: dict[str, tuple[list[list[tuple[str, bool]]], list[list[str] | None], str]] = {
    "the password": ([ASKED], [[PASSWORD]], ""),
    "the password in any language": ([[("Senha do caixa: ", HIDDEN)]], [[PASSWORD]], ""),
    "the same question again": ([ASKED, ASKED], [[PASSWORD], None], ""),
    "another question after it": ([ASKED, [("Code: ", HIDDEN)]], [[PASSWORD], None], "Code:"),
    "what is typed would be shown": ([[("Password: ", SHOWN)]], [None], "Password:"),
    "two questions at once": ([[*ASKED, ("Code: ", HIDDEN)]], [None], "Password: Code:"),
    "many questions at once": ([[(f"{n} ", HIDDEN) for n in range(99)]], [None], "0 1 2 3 4 5 6 7 8 9"),
    "a hidden question without text": ([[("", HIDDEN)]], [[PASSWORD]], ""),
    "the same without text again": ([[("", HIDDEN)], [("", HIDDEN)]], [[PASSWORD], None], ""),
    "a question without text that is shown": ([[("", SHOWN)]], [None], "a question without text"),
    "nothing asked, then the password": ([[], ASKED], [[], [PASSWORD]], ""),
    "nothing asked for ever": ([[]] * (SILENT_ROUNDS + 1), [*([[]] * SILENT_ROUNDS), None], ""),
}


@pytest.mark.parametrize("case", DIALOGUES)
def test_the_password_goes_once_to_the_one_hidden_question(case: str) -> None:
    rounds, answers, question = DIALOGUES[case]
    client = _client()
    assert [client.kbdint_challenge_received("", "", "", prompts) for prompts in rounds] == answers
    assert (client.question, client.expired) == (question, False)
    assert client.offered is ([PASSWORD] in answers)


def test_a_login_without_a_password_begins_no_dialogue_and_answers_none() -> None:
    client = Client(None, trust_new=True, password=None, keys=[])
    assert client.kbdint_auth_requested() is None
    assert client.kbdint_challenge_received("", "", "", ASKED) is None
    assert client.password_auth_requested() is None
    assert not client.offered


def test_a_dialogue_is_begun_once_and_not_after_the_password_was_given() -> None:
    client = _client()
    assert (client.kbdint_auth_requested(), client.kbdint_auth_requested()) == ("", None)
    client = _client()
    client.password_auth_requested()
    assert client.kbdint_auth_requested() is None


def test_every_key_and_the_password_are_given_once() -> None:
    (first,), (second,) = (
        [asyncssh.load_keypairs([asyncssh.generate_private_key("ssh-ed25519")])[0]] for _ in range(2)
    )
    client = Client(None, trust_new=True, password=PASSWORD, keys=[first, second])
    assert not client.offered
    assert client.public_key_auth_requested() is first
    assert client.offered
    assert client.public_key_auth_requested() is second
    assert client.public_key_auth_requested() is None
    assert [client.password_auth_requested(), client.password_auth_requested()] == [PASSWORD, None]
    assert client.offered

    without_keys = _client()
    assert without_keys.public_key_auth_requested() is None
    assert not without_keys.offered
    without_keys.password_auth_requested()
    assert without_keys.offered
    without_keys.password_auth_requested()
    assert without_keys.offered


def test_a_demand_for_a_new_password_is_refused_and_kept() -> None:
    client = _client()
    assert client.password_change_requested("Your password has expired", "") is NotImplemented
    assert client.expired
    assert client.words == "Your password has expired"


@pytest.mark.parametrize(
    ("pinned", "trust_new", "accepted"),
    [("none", True, True), ("none", False, False), ("same", False, True), ("same", True, True), ("other", True, False)],
)
def test_a_pinned_host_key_is_the_only_one_accepted(pinned: str, trust_new: bool, accepted: bool) -> None:
    key, other = (asyncssh.generate_private_key("ssh-ed25519", comment="made for a test") for _ in range(2))

    def as_pinned(one: asyncssh.SSHKey) -> PinnedKey:
        return PinnedKey(" ".join(one.export_public_key("openssh").decode().split()[:2]))

    known = {"none": None, "same": as_pinned(key), "other": as_pinned(other)}[pinned]
    client = Client(known, trust_new=trust_new, password=None, keys=[])
    assert client.presented is None
    assert client.validate_host_public_key("till", "10.0.0.1", 22, key.convert_to_public()) is accepted
    assert client.presented == as_pinned(key)


class Connection:
    """What asyncssh would give: it accepts data, and has the server's description of itself."""

    def __init__(self, version: str | None = None) -> None:
        self.data = b""
        self.version = version
        self._server_kexinit = b"offer"

    def data_received(self, data: bytes, datatype: Any = None) -> None:
        self.data += data

    def get_extra_info(self, name: str) -> str | None:
        return {"server_version": self.version}[name]


def _connected(connection: Any) -> Client:
    client, connected = _client(), []
    client.connected = lambda: connected.append(True)
    client.connection_made(connection)
    assert connected
    return client


def test_what_a_server_says_before_its_version_line_is_kept_and_reaches_asyncssh() -> None:
    connection = Connection()
    client = _connected(connection)
    for part in (b"Too many ", b"users\r\n", b"SSH-2.0-x\r\n", b"packets"):
        connection.data_received(part)
    assert client.words == "Too many users"
    assert connection.data == b"Too many users\r\nSSH-2.0-x\r\npackets"
    assert "data_received" not in vars(connection)  # later data goes its usual way


def test_a_version_line_that_never_comes_is_listened_to_for_a_limited_time() -> None:
    connection = Connection()
    _connected(connection)
    connection.data_received(b"x" * (words.KEPT - 1))
    assert "data_received" in vars(connection)
    connection.data_received(b"xx")
    assert "data_received" not in vars(connection)
    assert connection.data == b"x" * (words.KEPT + 1)


def test_words_about_this_login_go_before_those_for_everybody() -> None:
    connection = Connection()
    client = _connected(connection)
    connection.data_received(b"busy\r\n")
    assert client.words == "busy"
    client.auth_banner_received("Welcome", "")
    assert client.words == "Welcome"
    client.kbdint_challenge_received("", "", "", ASKED)
    assert client.words == "Welcome"
    client.kbdint_challenge_received("Login", "denied", "", [])
    assert client.words == "Login denied"


@pytest.mark.parametrize(("version", "told"), [("SSH-2.0-x", "SSH-2.0-x"), (None, "")])
def test_a_connection_tells_the_servers_version_and_offer(version: str | None, told: str) -> None:
    client = _connected(Connection(version))
    assert (client.version, client.server_offer) == (told, b"offer")


def test_before_a_connection_nothing_is_known_of_the_server() -> None:
    client = _client()
    assert (client.version, client.server_offer, client.words) == ("", b"", "")
    assert not client.lost
    client.connection_lost(None)
    assert client.lost


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.ECONNRESET])
@pytest.mark.parametrize(("gave", "kind"), [(False, Transient), (True, Permanent)], ids=["before", "after"])
def test_a_line_that_breaks_after_a_credential_was_given_is_not_worth_another_attempt(
    number: int, gave: bool, kind: type[HostError]
) -> None:
    client = _client()
    if gave:
        assert client.password_auth_requested() == PASSWORD
    host = Host(id="1", name="till", network="n", address="10.0.0.1")
    assert type(failures.failure(host, client, "root", OSError(number, "the line broke"))) is kind
