"""Addresses of callers, as reverse proxies write them."""

import pytest

from server.api.caller_address import CallerAddress, caller_address

FORMS = {
    "192.0.2.1": "192.0.2.1",
    "192.0.2.1:8080": "192.0.2.1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:443": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "[fe80::1%eth0]:443": "fe80::1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "[::ffff:192.0.2.1]:443": "192.0.2.1",
}
NO_ADDRESS = (
    None,
    "",
    "unknown",
    "_hidden",
    "192.0.2.256",
    "192.0.2.1:",
    "192.0.2.1:http",
    "[]",
    "[]:80",
    "[192.0.2.1",
)


@pytest.mark.parametrize("text", FORMS)
def test_an_address_has_one_form_with_and_without_a_port(text: str) -> None:
    assert caller_address(text) == FORMS[text]


@pytest.mark.parametrize("text", [*NO_ADDRESS, "1" * 5000, "fe80::1%" + "x" * 5000, "::1\n", "\u0661.1.1.1"])
def test_an_invalid_address_is_none(text: str | None) -> None:
    assert caller_address(text) is None


@pytest.mark.parametrize(("written", "found"), [("[2001:db8::1]:443", "2001:db8::1"), ("x" * 5000, None), (None, None)])
def test_the_application_finds_an_address_or_nothing(written: str | None, found: str | None) -> None:
    seen: list[object] = []

    def app(environ: dict[str, object], _: object) -> list[bytes]:
        seen.append(environ.get("REMOTE_ADDR"))
        return []

    CallerAddress(app)({} if written is None else {"REMOTE_ADDR": written}, lambda *_: lambda _: None)
    assert seen == [found]
