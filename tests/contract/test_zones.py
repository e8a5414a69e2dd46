"""One list of time zones counts, the same on both sides; a zone that is not on it is refused with advice."""

import json
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import zones
from contracts.document import DocumentError, read_document
from contracts.zones import list_version, require_zone, zone_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_system_zones(tmp_path: Path) -> Iterator[None]:
    """A machine without a database of its own, as an image may be."""
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


def problem(zone: str, *, strict: bool = True) -> str:
    data = {"network": "SOL", "inventory": {"kind": "static"}, "timezone": zone}
    try:
        read_document(json.dumps(data).encode(), strict=strict)
    except DocumentError as error:
        return "; ".join(found.message for found in error.problems if found.path == "timezone")
    return ""


def test_every_listed_zone_can_be_read_without_a_database_of_the_system(no_system_zones: None) -> None:
    assert len(zone_names()) > 500
    for name in zone_names():
        require_zone(name, listed=True)


@pytest.mark.parametrize("name", ["America/Sao_Paulo", "Brazil/East", "Etc/GMT+3", "UTC", "America/Noronha"])
def test_a_listed_zone_is_accepted_old_names_included(name: str, no_system_zones: None) -> None:
    assert problem(name) == problem(name, strict=False) == ""


@pytest.mark.parametrize("name", ["localtime", "posixrules", "posix/America/Sao_Paulo", "right/America/Sao_Paulo"])
def test_names_that_only_some_machines_have_are_refused_where_a_person_writes_them(name: str) -> None:
    assert f'unknown time zone "{name}"' in problem(name)


def test_a_document_in_force_with_such_a_name_stays_readable_where_the_zone_can_be_read(tmp_path: Path) -> None:
    rules = next(path for folder in zoneinfo.TZPATH if (path := Path(folder, "America/Sao_Paulo")).is_file())
    (tmp_path / "Ours").write_bytes(rules.read_bytes())
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    try:
        assert problem("Ours", strict=False) == ""
        assert 'unknown time zone "Ours"' in problem("Ours")
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


NEAR = {
    "america/sao_paulo": "America/Sao_Paulo",
    "America/Sao Paulo": "America/Sao_Paulo",
    "Sao_Paulo": "America/Sao_Paulo",
    "Brazil/Sao_Paulo": "America/Sao_Paulo",
    "posix/America/Recife": "America/Recife",
    "utc": "UTC",
}


@pytest.mark.parametrize(("written", "meant"), NEAR.items())
def test_a_zone_in_another_spelling_is_refused_with_the_right_name(written: str, meant: str) -> None:
    assert f"did you mean {meant}?" in problem(written)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus_Mons", "", "../etc/passwd", "/etc/localtime", "GMT-3", "a" * 9000, "A\0", "America"]
)
@pytest.mark.parametrize("strict", [True, False])
def test_an_unknown_zone_is_refused_on_both_sides_with_the_list_and_what_to_do(name: str, strict: bool) -> None:
    found = problem(name, strict=strict)
    assert found.startswith("unknown time zone")
    assert f"IANA's list {list_version()}" in found
    assert "if the zone is newer, update this side first" in found
    assert len(found) < 400


def test_without_the_list_no_zone_is_accepted_where_a_person_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "zone_names", frozenset)
    assert "the list of zones is missing here" in problem("America/Sao_Paulo")


def test_both_images_carry_the_same_list() -> None:
    pins = {
        line.split()[0]
        for part in ("server", "runtime")
        for line in (ROOT / "requirements" / f"{part}.txt").read_text().splitlines()
        if line.startswith("tzdata==")
    }
    assert len(pins) == 1
