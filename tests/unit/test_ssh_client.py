"""Our side of a keyboard-interactive dialogue: which question gets the password, whatever the server says around it."""

import subprocess
import sys
import time

import pytest

from runtime.adapters.ssh.client import Client

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
    assert client.kbdint_challenge_received(long, long, "", [("Password: ", False)]) == [PASSWORD]
    assert len(client.words) <= 300
    assert time.process_time() - began < LIMIT_S


@pytest.mark.parametrize("flood", ["", "retype ", "Welcome. "])
@pytest.mark.parametrize("question", ["New password: ", "Retype new UNIX password: ", "Nova senha: "])
def test_a_question_for_a_new_password_gets_none_behind_instructions_of_any_length(flood: str, question: str) -> None:
    client = _client()
    assert client.kbdint_challenge_received("", flood * 30_000, "", [(question, False)]) is None
    assert client.expired


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
