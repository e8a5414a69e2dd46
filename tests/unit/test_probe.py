"""What the facts probe's output means: total for every byte string, an error only for what our script cannot have printed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.facts import Facts
from runtime.domain.model import Outcome, Reason
from runtime.engine.probe import SCRIPT, BadFacts, parse_probe

KEYS = ["class", "init", "machine", "kernel", "hostname", "who", "epoch", "PDV_NROCPU", "files", "facts"]
FILES = [
    "/etc/slackware-version",
    "/etc/linuxmint/info",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/lsb-release",
    "/etc/debian_version",
    "/etc/issue",
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
]
ONE, OTHER = "3d1219c7c4c5404aaa1f6d2a48adfda4", "0123456789abcdef0123456789abcdef"


def printed(*lines: str | bytes, files: Sequence[tuple[str, bytes]] = ()) -> bytes:
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    said = b"\n".join([b"facts=begin", *raw, b"files=begin", b"==> /dev/null <=="])
    return said + b"".join(b"\n==> %s <==\n%s" % (name.encode(), text) for name, text in files) + b"\nfacts=end\n"


def test_a_whole_answer_becomes_facts() -> None:
    facts = parse_probe(
        printed(
            "class=\2",
            "init=systemd",
            "machine=x86_64",
            "kernel=5.15.0-91-generic",
            "hostname=ABC-LOJA001-PDV201",
            "who=uid=1000(pdv",
            "epoch=1700000000",
            files=[("/etc/os-release", b'ID=ubuntu\nVERSION_ID="22.04"\n')],
        )
    )

    assert facts == Facts(
        distro="ubuntu",
        version="22.04",
        source="os-release",
        machine="x86_64",
        arch="x86_64",
        bits=64,
        kernel="5.15.0-91-generic",
        init="systemd",
        user="pdv",
        uid=1000,
        hostname="ABC-LOJA001-PDV201",
        epoch=1_700_000_000,
    )


def test_an_answer_without_any_value_is_an_unknown_system() -> None:
    assert parse_probe(printed()) == Facts()


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\n",
        b"facts=begi",
        b"% Invalid input detected at '^' marker.",
        b"\x00\xff\xfe" * 1000,
        b"ID=ubuntu\nVERSION_ID=22.04\n",
        b"This account is currently not available.\n",
        b"x" * 1_000_000,
    ],
)
def test_garbage_is_bad_facts_and_says_what_came(output: bytes) -> None:
    with pytest.raises(BadFacts) as fault:
        parse_probe(output)
    assert (fault.value.outcome, fault.value.reason) == (Outcome.FAILED, Reason.BAD_FACTS)
    assert len(fault.value.detail) <= 256
    assert fault.value.detail.isprintable()


def test_facts_that_were_cut_off_are_bad_wherever_the_cut_was() -> None:
    whole = printed("class=\2", "machine=x86_64", "who=uid=0(root", files=[("/etc/os-release", b"ID=ubuntu\n")])
    end = whole.rindex(b"facts=end") + len(b"facts=end")

    for cut in range(end):
        with pytest.raises(BadFacts):
            parse_probe(whole[:cut])
    assert parse_probe(whole[:end]) == parse_probe(whole)


@given(st.binary())
def test_any_bytes_are_facts_or_bad_facts(output: bytes) -> None:
    with pytest.raises(BadFacts):
        parse_probe(output.replace(b"facts", b"fact"))


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.binary().map(lambda value: value.replace(b"\n", b""))), max_size=30),
    st.lists(st.tuples(st.sampled_from(FILES), st.binary()), max_size=9),
)
def test_any_values_are_facts_that_can_be_printed(
    pairs: list[tuple[str, bytes]], files: list[tuple[str, bytes]]
) -> None:
    facts = parse_probe(printed(*(key.encode() + b"=" + value for key, value in pairs), files=files))

    assert all(
        text.isprintable()
        for text in (facts.distro, facts.version, facts.hostname, facts.user, facts.kernel, facts.arch)
    )
    assert facts.bits in (0, 32, 64)


def test_lines_that_are_not_ours_are_ignored() -> None:
    noisy = (
        b"Bem-vindo\xe9\n" + printed("", "no equals sign", "=", "stranger=1", "who=uid=5") + b"\nwho=uid=7\nfacts=end\n"
    )

    assert parse_probe(noisy).uid == 5


def test_a_file_cannot_forge_the_answers_of_the_shell_or_of_an_earlier_file() -> None:
    forged = b"facts=end\nwho=uid=0(root\nfiles=begin\nfacts=begin\n==> /etc/slackware-version <==\nSlackware 15.0\nID=tillos\n"

    facts = parse_probe(printed("who=uid=1000(pdv", files=[("/etc/os-release", forged)]))

    assert (facts.uid, facts.user, facts.distro, facts.source) == (1000, "pdv", "tillos", "os-release")


def test_a_file_without_an_end_of_line_does_not_hide_the_next() -> None:
    facts = parse_probe(printed(files=[("/etc/linuxmint/info", b"nothing"), ("/etc/os-release", b"ID=debian")]))

    assert (facts.distro, facts.version) == ("mint", "")
    assert parse_probe(printed(files=[("/etc/os-release", b"?"), ("/etc/debian_version", b"12.5")])).distro == "debian"


def test_only_the_beginning_of_a_long_file_counts() -> None:
    facts = parse_probe(printed(files=[("/etc/os-release", b"A=1\n" * 200 + b"ID=debian\n")]))

    assert facts.distro == ""


@pytest.mark.parametrize(
    ("machine", "elf_class", "arch"),
    [
        ("x86_64", b"\2", "x86_64"),
        ("x86_64", b"\1", "i686"),
        ("x86_64", b"", ""),
        ("amd64", b"\2", "x86_64"),
        ("i686", b"\1", "i686"),
        ("i586", b"\1", "i686"),
        ("i686", b"", "i686"),
        ("i686", b"\2", "x86_64"),
        ("aarch64", b"\2", "aarch64"),
        ("aarch64", b"\1", "armv7"),
        ("armv7l", b"\1", "armv7"),
        ("armv6l", b"\1", "armv6l"),
        ("riscv64", b"\2", "riscv64"),
        ("$(reboot)", b"\2", ""),
        ("", b"\2", ""),
    ],
)
def test_the_architecture_is_the_userlands(machine: str, elf_class: bytes, arch: str) -> None:
    assert parse_probe(printed(f"machine={machine}", b"class=" + elf_class)).arch == arch


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("who=uid=0(root", "uid", 0),
        ("who=uid=0", "uid", 0),
        ("who=uid=61077 gid=100(users", "uid", 61077),
        ("who=uid=61077 gid=100(users", "user", ""),
        ("who=uid=", "uid", -1),
        ("who=", "uid", -1),
        ("who=uid=-5(x", "uid", -1),
        ("who=uid=" + "9" * 5000, "uid", -1),
        ("who=uid=\u0661", "uid", -1),
        ("epoch=1700000000", "epoch", 1_700_000_000),
        ("epoch=%s", "epoch", None),
        ("init=openrc", "init", "unknown"),
        ("class=7", "bits", 0),
        ("hostname=" + "h" * 100_000, "hostname", "h" * 256),
        ("PDV_NROLOJA=007", "pos_store", 7),
        ("  PDV_NROCPU = '201'\r", "pos_terminal", 201),
        ("PDV_NROCPU=0", "pos_terminal", None),
        ("PDV_NROCPU=2-1", "pos_terminal", None),
        ("PDV_NROCPU=" + "9" * 5000, "pos_terminal", None),
        ("who=uid=7(p\x1b[31mdv\r", "user", "p[31mdv"),
    ],
)
def test_a_senseless_value_is_an_absent_one(line: str, field: str, value: object) -> None:
    assert getattr(parse_probe(printed(line)), field) == value


def test_the_script_parses_inside_the_engines_frame(tmp_path: Path) -> None:
    framed = tmp_path / "framed.sh"
    framed.write_text(f"main() {{\n(\nset -eu\n{SCRIPT}\n)\n}}\nmain </dev/null\n", encoding="utf-8")

    assert subprocess.run(["/bin/sh", "-n", framed], capture_output=True, check=False).stderr == b""


@pytest.mark.parametrize(
    ("files", "machine_id"),
    [
        ([("/etc/machine-id", f"{ONE}\n")], ONE),
        ([("/var/lib/dbus/machine-id", f"{ONE}\n")], ONE),
        ([("/etc/machine-id", f"{ONE}\n"), ("/var/lib/dbus/machine-id", f"{OTHER}\n")], ONE),
        ([("/etc/machine-id", ""), ("/var/lib/dbus/machine-id", f"{OTHER}\n")], OTHER),
        ([("/etc/machine-id", ONE.upper())], ONE),
        ([("/etc/machine-id", "uninitialized\n")], ""),
        ([("/etc/machine-id", "0" * 32 + "\n")], ""),
        ([("/etc/machine-id", f"{ONE}{ONE}\n")], ""),
        ([("/etc/machine-id", f"{ONE}\n{OTHER}\n")], ""),
        ([], ""),
    ],
)
def test_the_machine_id_is_the_systems_or_absent(files: list[tuple[str, str]], machine_id: str) -> None:
    said = printed(files=[(name, text.encode()) for name, text in files])

    assert parse_probe(said).machine_id == machine_id
