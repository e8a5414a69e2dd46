"""What a terminal's files are kept on, and what follows for a change: as /proc/mounts of real systems says it."""

from __future__ import annotations

import dataclasses

import pytest

from runtime.domain.model import Outcome
from runtime.domain.storage import storage_of
from tests.unit.engine.in_memory import FACTS, Terminal, World
from tests.unit.engine.test_process_one import NAME, run, verdict

PROC = "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0"
LIVE = (  # an Ubuntu 22.04 that runs from its installation medium
    "/cow / overlay rw,relatime,lowerdir=/filesystem.squashfs,upperdir=/cow/upper,workdir=/cow/work 0 0",
    "/dev/sr0 /cdrom iso9660 ro,noatime,nojoliet 0 0",
    "/dev/loop0 /rofs squashfs ro,noatime 0 0",
)
OVERLAYROOT = (  # the package overlayroot, layer in memory
    "/dev/sda1 /media/root-ro ext4 ro,relatime 0 0",
    "tmpfs-root /media/root-rw tmpfs rw,relatime 0 0",
    "overlayroot / overlay rw,relatime,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/w 0 0",
)
# Lines → kind, read-only, lasting; None when nothing can be said.
MOUNTS: dict[str, tuple[tuple[str, ...], tuple[str, bool, bool | None] | None]] = {
    "a disk": (("/dev/sda1 / ext4 rw,relatime,errors=remount-ro 0 0", PROC), ("ext4", False, True)),
    "an old disk behind the first root": (("rootfs / rootfs rw 0 0", "/dev/root / ext3 rw 0 0"), ("ext3", False, True)),
    "slackware's reiserfs": (("/dev/hda2 / reiserfs rw 0 0",), ("reiserfs", False, True)),
    "after a disk error": (("/dev/sda1 / ext4 ro,relatime,errors=remount-ro 0 0",), ("ext4", True, True)),
    "a live system": (LIVE, ("overlay", False, False)),
    "a layer in memory over the disk": (OVERLAYROOT, ("overlay", False, False)),
    "a layer on another disk": (
        (
            "/dev/sda1 /lower squashfs ro 0 0",
            "/dev/sda2 /layer ext4 rw 0 0",
            "overlay / overlay rw,lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work 0 0",
        ),
        ("overlay", False, True),
    ),
    "an old live system": (("aufs / aufs rw,relatime,si=1f,noxino 0 0",), ("aufs", False, False)),
    "a thin client": (("rootfs / rootfs rw 0 0", "tmpfs / tmpfs rw,size=512m 0 0"), ("tmpfs", False, False)),
    "the initial file system itself": (("rootfs / rootfs rw 0 0",), ("rootfs", False, False)),
    "settings in memory over a disk": (
        ("/dev/sda1 / ext4 ro,relatime 0 0", "tmpfs /etc tmpfs rw 0 0"),
        ("tmpfs", False, False),
    ),
    "an image": (("/dev/sda1 / squashfs ro,relatime 0 0",), ("squashfs", True, None)),
    "a root over the network": (("10.0.0.5:/tills/7 / nfs rw,vers=3 0 0",), ("nfs", False, None)),
    "no root in the list": ((PROC,), None),
    "no list": ((), None),
    "nonsense": (("x", "a b c", "\x00", "/dev/sda1 relative ext4 rw 0 0"), None),
}


@pytest.mark.parametrize("case", MOUNTS)
def test_the_storage_of_the_settings_is_classified(case: str) -> None:
    lines, expected = MOUNTS[case]
    seen = storage_of(lines)
    assert (None if seen is None else (seen.kind, seen.read_only, seen.lasting)) == expected


def test_names_with_blanks_are_read_as_they_are() -> None:
    seen = storage_of(["//server/a\\040share / cifs rw 0 0"])
    assert seen is not None
    assert seen.device == "//server/a share"


# -- in a run


def on(*mounts: str, **fields: object) -> Terminal:
    listed = "\n".join(["==> /proc/mounts <==", *mounts, "", "facts=end"]).encode()
    return dataclasses.replace(Terminal(facts=FACTS.replace(b"facts=end", listed)), **fields)  # type: ignore[arg-type]


def test_a_change_in_memory_is_reported_to_last_until_the_next_boot() -> None:
    result = run(World({NAME: on(*LIVE)}))
    assert verdict(result) == ("changed", "confirmed", "")
    assert result.message == "value is new; only until the next boot: / is a layer over another file system (overlay)"
    assert (result.facts["lasting"], result.facts["storage"]) == (False, "overlay")
    assert [gate.text for gate in result.gates if gate.gate == "storage"] == [
        "only until the next boot: / is a layer over another file system (overlay)"
    ]


def test_a_dry_run_reports_it_too_and_an_unchanged_host_does_not() -> None:
    assert "only until the next boot" in run(World({NAME: on(*LIVE)}), dry_run=True).message
    right = run(World({NAME: on(*LIVE, value="new")}))
    assert (right.outcome, right.message, right.facts["lasting"]) == (Outcome.OK, "value is new", False)


def test_a_power_off_does_not_depend_on_where_the_root_is_kept() -> None:
    result = run(World({NAME: on(*LIVE)}), "power_off")
    assert "next boot" not in result.message
    assert run(World({NAME: on(*MOUNTS["after a disk error"][0])}), "power_off").reason.value == "not_converged"


@pytest.mark.parametrize("dry_run", [False, True])
def test_no_step_is_sent_to_a_root_that_is_mounted_read_only(dry_run: bool) -> None:
    terminal = on(*MOUNTS["after a disk error"][0])
    result = run(World({NAME: terminal}), dry_run=dry_run)
    assert verdict(result) == ("failed", "read_only", "set")
    assert "/ (/dev/sda1, ext4) is mounted read-only, as it is after a disk error: see dmesg" in result.message
    assert "nothing was changed" in result.message.lower()
    assert terminal.written == 0
    assert [(gate.allowed, gate.text) for gate in result.gates if gate.gate == "storage"] == [(False, result.message)]


def test_a_root_that_becomes_read_only_between_two_stages_leaves_the_first_confirmed() -> None:
    terminal = on(*MOUNTS["a disk"][0])
    broken = on(*MOUNTS["after a disk error"][0]).facts
    terminal.on_step = lambda: setattr(terminal, "facts", broken)
    result = run(World({NAME: terminal}), "climb_up")
    assert verdict(result) == ("failed", "read_only", "second")
    assert result.message.startswith("first confirmed; second is needed, but")


def test_a_terminal_that_does_not_report_its_mounts_is_changed() -> None:
    result = run(World({NAME: Terminal()}))
    assert (result.message, result.facts["lasting"]) == ("value is new", None)
