"""A cause that people read is worded by the system, not by Python."""

import socket
import ssl

import pytest

from runtime.domain.errors import in_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
        ),
        (EOFError(), "EOFError"),
    ],
)
def test_a_cause_is_shown_without_its_type_and_number(error: Exception, words: str) -> None:
    outer = RuntimeError("the pool's whole story")
    outer.__cause__ = error
    assert in_words(outer) == words
