"""Credentials in inventory notes, as the first generation wrote them and as people did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.adapters.zabbix.notes import read_notes

CREDENTIALS = {
    "root,secret": ("root", "secret", None),
    "root,secret,2222": ("root", "secret", 2222),
    "root,s,22": ("root", "s", 22),
    " root , secret , 22 \r\n": ("root", "secret", 22),
    "root,secret,": ("root", "secret", None),
    "root,a,b": ("root", "a,b", None),
    "root,a,b,22": ("root", "a,b", 22),
    "root,se cret": ("root", "se cret", None),
    "root,não-é,22": ("root", "não-é", 22),
    'root,"a,22"': ("root", "a,22", None),
    'root,"a,22",2222': ("root", "a,22", 2222),
    'root," a "": "" ",22': ("root", ' a ": " ', 22),
    'root,"half': ("root", '"half', None),
    'root,a"b"c,22': ("root", 'a"b"c', 22),
    "SHOP\\operator,x": ("SHOP\\operator", "x", None),
}
PROSE = [
    "",
    "root",
    "root,",
    "root,,22",
    "root, ,22",
    ",secret",
    "Trocado HD em 2021, memória nova",
    "first line,password\nsecond line",
    "root,secret,0",
    "root,secret,70000",
    "root,secret,999999999999",
    "-oProxyCommand=x,secret",
    "root;reboot,secret",
    "root," + "x" * 2000,
]


@pytest.mark.parametrize(("text", "expected"), CREDENTIALS.items())
def test_user_password_and_port_are_read(text: str, expected: tuple[str, str, int | None]) -> None:
    login = read_notes(text, "notes.7")
    assert login is not None
    assert login.credential.id == "notes.7"
    password = login.credential.password
    assert password is not None
    assert (login.credential.user, password.reveal(), login.port) == expected


@pytest.mark.parametrize("text", PROSE)
def test_notes_that_are_no_credential_give_none(text: str) -> None:
    assert read_notes(text, "notes.7") is None


def test_a_long_row_of_commas_is_read_in_little_time() -> None:
    assert read_notes("root,x" + ",1 " * 300, "notes.7") is not None


@given(
    password=st.text(st.characters(exclude_characters="\r\n"), min_size=1, max_size=60),
    port=st.none() | st.integers(1, 65535),
)
def test_any_password_survives_in_quotes(password: str, port: int | None) -> None:
    quoted = password.replace('"', '""')
    login = read_notes(f'root,"{quoted}"' + ("" if port is None else f",{port}"), "notes.7")
    assert login is not None
    assert login.credential.password is not None
    assert (login.credential.password.reveal(), login.port) == (password, port)


@given(text=st.text(max_size=200))
def test_no_notes_raise_or_show_a_password(text: str) -> None:
    login = read_notes(text, "notes.7")
    if login is not None:
        assert login.credential.password is not None
        assert "password=***" in repr(login)
