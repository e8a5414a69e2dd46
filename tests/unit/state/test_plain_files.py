"""Only a plain file of a sane size is read, whatever stands where one is expected: nothing hangs, nothing is read into memory."""

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from contracts.bounded import MAX_BYTES
from runtime.adapters.config_store import FILE, META, ConfigStore
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.adapters.state.files import ca_problem, read_plain
from runtime.adapters.untrusted_files import read_untrusted
from runtime.adapters.zabbix.transport import check
from runtime.deployment.records import FILE as RECORDS
from runtime.deployment.records import RecordFile
from runtime.domain.errors import InventoryUnavailable, NoConfiguration
from server import plain_file


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def giant(path: Path) -> None:
    path.touch()
    os.truncate(path, 2 * 1024**3)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe that nobody writes to": (pipe, "a pipe"),
    "a socket": (listening, ""),
    "a folder": (Path.mkdir, "a folder"),
    "a link to itself": (loop, "symbolic links"),
    "a file of two gigabytes": (giant, "2147483648 bytes"),
    "a device that never ends": (device, "a device"),
}
odd = pytest.mark.parametrize(("make", "says"), ODD.values(), ids=ODD)


@odd
def test_what_is_no_plain_file_is_refused_by_every_reader(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    make(path)
    for read in (read_plain, partial(plain_file.read_plain, limit=MAX_BYTES)):
        with pytest.raises(OSError, match=says or path.name):
            read(path)
    with pytest.raises(OSError, match=path.name):
        read_untrusted(path)  # through no link either


@odd
def test_a_configuration_that_is_no_plain_file_is_passed_over_for_the_one_before(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    make(tmp_path / FILE)
    with pytest.raises(NoConfiguration) as caught:
        ConfigStore(tmp_path).load()
    assert caught.value.exit_code == 3
    assert f"{tmp_path / FILE} cannot be read" in caught.value.message
    assert says in caught.value.message


@odd
def test_a_note_beside_the_configuration_that_is_no_plain_file_counts_as_absent(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(
        b'{"schema_version": 2, "network": "SOL", "inventory": {"kind": "static", "hosts": []}}'
    )
    make(tmp_path / META)
    assert ConfigStore(tmp_path).load().etag is None


@odd
def test_a_token_that_is_no_plain_file_is_named(make: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    make(tmp_path / "token")
    login = HttpControlPlane("https://plane.example/api/bot/config", token_file=tmp_path / "token").login()
    assert login.token is None
    assert f"{tmp_path / 'token'} cannot be read" in login.problem


@odd
def test_authorities_that_are_no_plain_file_are_named_before_tls_opens_them(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    make(path)
    if path.is_dir():  # OpenSSL takes a folder of certificates too
        assert ca_problem(path) == ""
        return
    with pytest.raises(InventoryUnavailable, match="cannot be read") as caught:
        check("https://zabbix.example/api_jsonrpc.php", str(path))
    assert caught.value.reason == "zabbix_ca"
    assert says in ca_problem(path)


@odd
def test_records_of_deploy_that_are_no_plain_file_are_named_and_moved_aside(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    make(tmp_path / RECORDS)
    record_file = RecordFile(tmp_path)
    assert "could not be read" in record_file.notice
    record_file.change(current="sha256:1")
    assert RecordFile(tmp_path).records.current == "sha256:1"


def test_a_file_that_grows_while_it_is_read_is_refused() -> None:
    with pytest.raises(OSError, match="more than the 16 bytes"):
        read_plain(Path("/proc/self/status"), 16)  # the kernel says 0 bytes of it
