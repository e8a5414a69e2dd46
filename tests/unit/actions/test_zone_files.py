"""The terminal's own zone file: what is told of an old one, a damaged one, and one that programs do not go by."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.resources
import random
from collections.abc import Callable
from pathlib import Path
from zoneinfo import TZPATH, available_timezones

import pytest
import tzdata  # type: ignore[import-untyped]

from runtime.domain.action import Done, Failed, Stage
from runtime.domain.time.zone_file import BadZoneFile, database_version, difference, read_zone
from tests.harness import process
from tests.unit.actions.test_decisions import RIGHT, zone
from tests.unit.engine.in_memory import ZONE

OLD_RULES = """\
Rule Old 2008 max - Feb Sun>=15 0:00 0 -
Rule Old 2008 max - Nov Sun>=1 0:00 1:00 -
Zone Old/Sao_Paulo -3:00 Old -03/-02
Rule Next 2027 max - Oct Sun>=1 0:00 1:00 -
Rule Next 2028 max - Feb Sun>=15 0:00 0 -
Zone Next/Sao_Paulo -3:00 Next -03/-02
Zone Fixed/Minus3 -3:00 - -03
"""
SUMMER = {"observed_at": dt.datetime(2026, 11, 30, 9, 0, tzinfo=ZONE)}
HOUR = int(SUMMER["observed_at"].timestamp()) // 3600
FILE = "/usr/share/zoneinfo/America/Sao_Paulo"
Zones = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Zones:
    """What the observe script would find of a zone file, as old compilers make them (fat) and as today's do (slim)."""
    folder = tmp_path_factory.mktemp("zones")
    (folder / "rules").write_text(OLD_RULES)
    for style in ("fat", "slim"):
        process.run(["/usr/sbin/zic", "-b", style, "-d", folder / style, folder / "rules"])

    def found(name: str, style: str = "fat") -> dict[str, str]:
        return {**RIGHT, "target_hex": (folder / style / name).read_bytes().hex()}

    return found


@pytest.mark.parametrize("style", ["fat", "slim"])
def test_an_old_zone_file_is_reported_and_not_put_in_force(zones: Zones, style: str) -> None:
    for observed in (zones("Old/Sao_Paulo", style), {**zones("Old/Sao_Paulo", style), "timezone": "Etc/UTC"}):
        decision = zone(observed, SUMMER)
        assert isinstance(decision, Failed)
        assert (decision.code, decision.stage) == ("stale_zone_file", "")
        assert f"{FILE} on the terminal is an old zone file" in decision.message
        assert "since 2026-11-01 00:00 it shows -0200, and -0300 is right" in decision.message
        assert "not changed" in decision.message
        assert "localtime_target to a fixed offset (Etc/GMT+3)" in decision.message


def test_a_zone_file_that_goes_wrong_later_is_used_and_not_called_right(zones: Zones) -> None:
    observed = zones("Next/Sao_Paulo")
    assert isinstance(zone({**observed, "localtime": "/usr/share/zoneinfo/Etc/UTC"}, SUMMER), Stage)
    decision = zone(observed, SUMMER)
    assert isinstance(decision, Failed)
    assert (decision.code, decision.stage) == ("stale_zone_file", "rules")
    assert "from 2027-10-03 00:00 on it will show -0200 where -0300 is right" in decision.message


def test_a_zone_file_whose_offsets_are_right_is_right_whatever_its_bytes(zones: Zones) -> None:
    decision = zone({**zones("Fixed/Minus3"), "offset": "-0300"}, SUMMER)
    assert isinstance(decision, Done)
    assert decision.report["zone_file_checked"] is True
    assert (decision.report["offset"], decision.report["expected_offset"]) == ("-0300", "-0300")


def test_a_fixed_offset_is_accepted_despite_an_old_zone_file(zones: Zones) -> None:
    target = {"localtime": "/usr/share/zoneinfo/Etc/GMT+3", "offset": "-0300"}
    decision = zone({**zones("Fixed/Minus3"), **target}, SUMMER, localtime_target="Etc/GMT+3")
    assert isinstance(decision, Done)


@pytest.mark.parametrize("compared", ["yes", "no"])  # no: also where the terminal has no cmp
def test_programs_that_do_not_go_by_the_zone_file_are_found(compared: str, zones: Zones) -> None:
    decision = zone({**zones("Fixed/Minus3"), "offset": "+0000", "localtime_same": compared}, SUMMER)
    assert isinstance(decision, Failed)
    assert decision.code == "offset_differs"
    assert "show +0000 where -0300 is right" in decision.message


def test_a_terminal_that_cannot_send_its_zone_file_is_not_called_checked() -> None:
    for observed in (RIGHT, {**RIGHT, "target_hex": "zz"}):
        decision = zone(observed, SUMMER)
        assert isinstance(decision, Done)
        assert decision.report["zone_file_checked"] is False
        assert "was not compared: the terminal could not send it" in decision.message


def test_a_terminal_that_calls_its_database_newer_is_not_trusted_and_both_remedies_are_named(zones: Zones) -> None:
    """One file may be old in a database that is new; and the proxy may be the one that is behind."""
    decision = zone({**zones("Old/Sao_Paulo"), "tzdata": "# version 2999a"}, SUMMER)
    assert isinstance(decision, Failed)
    assert decision.code == "stale_zone_file"
    assert "(tzdata 2999a)" in decision.message
    assert "update the proxy: its own database is" in decision.message


HOSTILE = {
    "text": b"<html>welcome</html>",
    "only a header": b"TZif2" + bytes(15) + bytes(24),
    "huge counts": b"TZif2" + bytes(15) + b"\x7f\xff\xff\xff" * 6,
    "negative counts": b"TZif2" + bytes(15) + b"\xff\xff\xff\xff" * 6,
    "too long": b"TZif" + bytes(20_000),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_zone_file_is_never_put_in_force(case: str) -> None:
    decision = zone({**RIGHT, "target_hex": HOSTILE[case].hex(), "localtime": "/nowhere"}, SUMMER)
    assert isinstance(decision, Failed)
    assert decision.code == "bad_zone_file"


def test_no_damaged_zone_file_breaks_the_reader(zones: Zones) -> None:
    whole = bytes.fromhex(zones("Old/Sao_Paulo")["target_hex"])
    chance = random.Random(7)
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(BadZoneFile):
            difference(bytes(data), "America/Sao_Paulo", HOUR)
    for length in range(len(whole)):
        with pytest.raises(BadZoneFile):
            read_zone(whole[:length])


def test_every_zone_of_the_database_agrees_with_itself() -> None:
    package = importlib.resources.files("tzdata.zoneinfo")
    newest = package if database_version() == tzdata.IANA_VERSION else None
    for name in sorted(available_timezones()):
        folders = [newest] if newest is not None else [Path(folder) for folder in TZPATH]
        path = next((path for folder in folders if (path := folder.joinpath(*name.split("/"))).is_file()), None)
        if path is not None:
            assert difference(path.read_bytes(), name, HOUR) is None, name
