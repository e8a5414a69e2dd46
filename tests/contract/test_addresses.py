"""Which hosts of URLs are this machine: plain http is taken there, and there only."""

import pytest

from contracts.address import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_host_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.example.com",
        "10.0.0.1",
        "0.0.0.0",
        "::",
        "::2",
        "127.1",
        "0127.0.0.1",
        "::ffff:10.0.0.1",
        "[::1]",
    ],
)
def test_any_other_host_is_not(host: str) -> None:
    assert not is_loopback(host)
