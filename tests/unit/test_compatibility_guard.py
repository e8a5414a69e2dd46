"""The compatibility guard: versions compared as versions, modes that only tighten, one decision for every combination."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.config import Effect, Level, MatrixRow, Mode
from runtime.domain.compatibility_guard import (
    check_minimums,
    decide,
    effective_mode,
    lookup,
    parse_minimums,
    parse_rows,
)
from runtime.domain.data_files import DataFault
from runtime.domain.errors import UsageFault
from runtime.domain.facts import Facts
from runtime.domain.model import Allow, Deny, Outcome, Reason

SYSTEM = Facts(distro="ubuntu", version="22.04", arch="x86_64", source="os-release")
UNKNOWN = Facts()


def row(versions: str, level: Level = "L1", distro: str = "ubuntu", **other: Any) -> MatrixRow:
    return MatrixRow(distro=distro, versions=versions, arch=other.get("arch", ("x86_64",)), level=level)


def system(version: str) -> Facts:
    return Facts(distro="ubuntu", version=version, arch="x86_64")


@pytest.mark.parametrize(
    ("versions", "version", "covered"),
    [
        (">=18.04,<20", "18.10", True),
        (">=18.04,<20", "20.04", False),
        (">=9.9", "9.10", True),
        ("==22.04.*", "22.04.3 LTS", True),
        ("==22.04.*", "22.04", True),
        ("==2.*", "22.04", False),
        ("==2.*", "2.7", True),
        ("==13.*", "13.37.0", True),
        ("==14.2", "14.2+", True),
        ("==17.3", "17.3", True),
        (">=1", "rolling", False),
        (">=0", "", False),
        ("*", "rolling", True),
        (" * ", "", True),
        ("*", "bookworm/sid", True),
        (">=22", "v22.04", True),
        (">=1", "9" * 400, False),
        (">=1", "1.2.3.4.5.6.7.8", True),
    ],
)
def test_versions_compare_as_versions(versions: str, version: str, covered: bool) -> None:
    assert (lookup([row(versions)], system(version)) == "L1") is covered


def test_the_first_row_that_covers_the_system_wins() -> None:
    own, shipped = row("==22.04.*", "L3"), row(">=18.04", "L1")

    assert lookup([own, shipped], SYSTEM) == "L3"
    assert lookup([shipped, own], SYSTEM) == "L1"
    assert lookup([row("*", "L2", distro="mint"), row("*", "L2", arch=("i686",)), shipped], SYSTEM) == "L1"


@given(distro=st.text(), version=st.text(), arch=st.text())
def test_looking_up_never_fails(distro: str, version: str, arch: str) -> None:
    rows = [row(">=18.04", distro="ubuntu"), row("*")]
    lookup(rows, Facts(distro=distro, version=version, arch=arch))
    lookup(rows, system(version))


@pytest.mark.parametrize("versions", ["0", "twenty two", "22.04+", "", "14.x"])
def test_a_row_whose_versions_cannot_be_read_is_not_accepted(versions: str) -> None:
    with pytest.raises(ValidationError):
        row(versions)


@pytest.mark.parametrize(
    ("configured", "requested", "mode"),
    [
        ("warn", None, "warn"),
        ("warn", "enforce", "enforce"),
        ("warn", "warn", "warn"),
        ("off", "Warn ", "warn"),
        ("enforce", "enforce", "enforce"),
    ],
)
def test_the_command_line_may_tighten_the_mode(configured: Mode, requested: str | None, mode: Mode) -> None:
    assert effective_mode(configured, requested, False) == mode


@pytest.mark.parametrize(("configured", "requested"), [("warn", "off"), ("enforce", "warn"), ("enforce", "off")])
def test_the_command_line_loosens_the_mode_only_where_the_network_allows_it(configured: Mode, requested: Mode) -> None:
    assert effective_mode(configured, requested, True) == requested
    with pytest.raises(UsageFault) as fault:
        effective_mode(configured, requested, False)
    assert fault.value.reason == "compat_mode_loosened"
    assert "allow_loosening" in fault.value.advice


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageFault) as fault:
        effective_mode("warn", "strict", True)
    assert (fault.value.reason, fault.value.advice) == ("bad_compat_mode", "one of off, warn, enforce")


@pytest.mark.parametrize(
    ("mode", "level", "effect", "decision", "reason"),
    [
        ("off", None, "disrupt", "not_checked", None),
        ("off", "L3", "change", "not_checked", None),
        ("warn", "L2", "change", "allowed", None),
        ("warn", "L3", "change", "warned", Reason.COMPAT_BELOW_MINIMUM),
        ("warn", None, "disrupt", "warned", Reason.COMPAT_UNKNOWN),
        ("enforce", "L1", "disrupt", "allowed", None),
        ("enforce", "L2", "change", "allowed", None),
        ("enforce", "L3", "change", "blocked", Reason.COMPAT_BELOW_MINIMUM),
        ("enforce", None, "change", "blocked", Reason.COMPAT_UNKNOWN),
        ("enforce", "L3", "read", "read_allowed", Reason.COMPAT_BELOW_MINIMUM),
        ("enforce", None, "read", "read_allowed", Reason.COMPAT_UNKNOWN),
    ],
)
def test_every_mode_decides_and_records(
    mode: Mode, level: Level | None, effect: Effect, decision: str, reason: Reason | None
) -> None:
    verdict, record = decide(mode, SYSTEM, level, "L2", effect)

    assert (record["decision"], record.get("reason"), record["mode"]) == (decision, reason, mode)
    assert (record["level"], record["required"], record["system"]) == (level, "L2", "ubuntu 22.04 x86_64")
    assert isinstance(verdict, Deny) is (decision == "blocked")
    if isinstance(verdict, Deny):
        assert (verdict.outcome, verdict.reason) == (Outcome.BLOCKED, reason)


@pytest.mark.parametrize("required", get_args(Level))
@pytest.mark.parametrize("level", get_args(Level))
def test_a_system_is_enough_for_its_own_level_and_the_lower_ones(level: Level, required: Level) -> None:
    verdict, _ = decide("enforce", SYSTEM, level, required, "change")
    assert isinstance(verdict, Allow) is (level <= required)  # L1 is the highest


@pytest.mark.parametrize(
    ("facts", "system"),
    [
        (SYSTEM, "ubuntu 22.04 x86_64"),
        (Facts(distro="arch", arch="x86_64"), "arch x86_64"),
        (UNKNOWN, "unknown"),
    ],
)
def test_what_is_known_of_the_system_is_recorded(facts: Facts, system: str) -> None:
    _, record = decide("off", facts, None, "L2", "change")
    assert (record["system"], record["source"]) == (system, facts.source)


def test_a_refusal_says_what_was_found_and_what_is_needed() -> None:
    low, recorded = decide("enforce", SYSTEM, "L3", "L2", "change")
    restricted, _ = decide("enforce", SYSTEM, "L2", "L1", "change")
    unknown, _ = decide("enforce", SYSTEM, None, "L2", "change")
    nameless, _ = decide("enforce", UNKNOWN, None, "L2", "change")

    assert isinstance(low, Deny)
    assert low.message == "ubuntu 22.04 x86_64 is L3 (best effort); this action needs L2 (restricted)"
    assert recorded["message"] == low.message
    assert isinstance(restricted, Deny)
    assert restricted.message == "ubuntu 22.04 x86_64 is L2 (restricted); this action needs L1 (production)"
    assert isinstance(unknown, Deny)
    assert unknown.message == "no compatibility row covers ubuntu 22.04 x86_64"
    assert isinstance(nameless, Deny)
    assert nameless.message == "its system was not recognised"


@given(
    mode=st.sampled_from(get_args(Mode)),
    level=st.none() | st.sampled_from(get_args(Level)),
    required=st.sampled_from(get_args(Level)),
    effect=st.sampled_from(get_args(Effect)),
)
def test_nothing_but_enforce_blocks_and_reads_are_never_blocked(
    mode: Mode, level: Level | None, required: Level, effect: Effect
) -> None:
    verdict, record = decide(mode, SYSTEM, level, required, effect)

    assert isinstance(verdict, Allow) or (mode == "enforce" and effect != "read")
    assert record["decision"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("rows: []", "rows"),
        ("rows:\n- {distro: ubuntu, versions: '>=18', arch: [x86_64], level: L1}", "rows[0].source"),
        ("rows:\n- {distro: ubuntu, versions: '18 and up', arch: [x86_64], level: L1, source: x}", "rows[0].versions"),
        ("rows:\n- {distro: ubuntu, versions: 18.04, arch: [x86_64], level: L1, source: x}", "rows[0].versions"),
        ("rows:\n- {distro: ubuntu, versions: '*', arch: [sparc], level: L1, source: x}", "rows[0].arch[0]"),
        ("rows:\n- {distro: ubuntu, versions: '*', arch: [i686], level: L4, source: x}", "rows[0].level"),
        ("row: 1", "rows"),
    ],
)
def test_a_bad_matrix_names_its_file_and_key(text: str, key: str) -> None:
    with pytest.raises(DataFault) as fault:
        parse_rows(text, "compat_matrix/endpoints.yaml")
    assert (fault.value.where, fault.value.key, fault.value.exit_code) == ("compat_matrix/endpoints.yaml", key, 3)


def test_of_several_actions_without_a_level_the_first_by_name_is_named() -> None:
    with pytest.raises(DataFault, match="a_first has no level"):
        check_minimums({}, {"f", "e", "d", "a_first", "c", "b"}, "actions.yaml")


def test_a_matrix_of_one_row_is_accepted() -> None:
    rows = parse_rows(
        "rows:\n- {distro: ubuntu, versions: '*', arch: [x86_64], level: L1, source: x}", "endpoints.yaml"
    )
    assert [(one.distro, one.source) for one in rows] == [("ubuntu", "x")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("actions: {a: L1}", "actions.a"),
        ("actions: {shutdown_endpoint: L2, a: L1}", "actions.a"),
        ("actions: {e: L1, d: L1, shutdown_endpoint: L2, c: L1, b: L1, a: L1}", "actions.a"),
        ("actions: {}", "actions"),
    ],
)
def test_minimum_levels_are_for_every_action_and_no_other(text: str, key: str) -> None:
    with pytest.raises(DataFault) as fault:
        check_minimums(parse_minimums(text, "actions.yaml"), {"shutdown_endpoint"}, "actions.yaml")
    assert fault.value.key == key
