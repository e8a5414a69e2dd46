"""What the facts probe's output means: total for every byte string, an error only for what our script cannot have printed."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.facts import Facts
from runtime.core.model import Outcome, Reason
from runtime.core.probe import SCRIPT, BadFacts, parse_probe

KEYS = [
    "slackware",
    "mint",
    "os",
    "lsb",
    "debian",
    "issue",
    "class",
    "init",
    "machine",
    "kernel",
    "hostname",
    "user",
    "uid",
    "epoch",
]


def printed(*lines: str | bytes) -> bytes:
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return b"\n".join([b"facts=begin", *raw, b"facts=end", b""])


def test_a_whole_answer_becomes_facts() -> None:
    facts = parse_probe(
        printed(
            "os=ID=ubuntu",
            'os=VERSION_ID="22.04"',
            "class=2",
            "init=systemd",
            "machine=x86_64",
            "kernel=5.15.0-91-generic",
            "hostname=ABC-LOJA001-PDV201",
            "user=pdv",
            "uid=1000",
            "epoch=1700000000",
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
    whole = printed("os=ID=ubuntu", "class=2", "machine=x86_64", "uid=0")
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
    st.lists(st.tuples(st.sampled_from(KEYS), st.binary().map(lambda value: value.replace(b"\n", b""))), max_size=30)
)
def test_any_values_are_facts_that_can_be_printed(pairs: list[tuple[str, bytes]]) -> None:
    facts = parse_probe(printed(*(key.encode() + b"=" + value for key, value in pairs)))

    assert all(
        text.isprintable()
        for text in (facts.distro, facts.version, facts.hostname, facts.user, facts.kernel, facts.arch)
    )
    assert facts.bits in (0, 32, 64)


def test_lines_that_are_not_ours_are_ignored() -> None:
    noisy = b"Bem-vindo\xe9\n" + printed("", "no equals sign", "=", "stranger=1", "uid=5") + b"\nuid=7\nfacts=end\n"

    assert parse_probe(noisy).uid == 5


@pytest.mark.parametrize(
    ("machine", "elf_class", "arch"),
    [
        ("x86_64", "2", "x86_64"),
        ("x86_64", "1", "i686"),
        ("x86_64", "", ""),
        ("amd64", "2", "x86_64"),
        ("i686", "1", "i686"),
        ("i586", "1", "i686"),
        ("i686", "", "i686"),
        ("i686", "2", "x86_64"),
        ("aarch64", "2", "aarch64"),
        ("aarch64", "1", "armv7"),
        ("armv7l", "1", "armv7"),
        ("armv6l", "1", "armv6l"),
        ("riscv64", "2", "riscv64"),
        ("$(reboot)", "2", ""),
        ("", "2", ""),
    ],
)
def test_the_architecture_is_the_userlands(machine: str, elf_class: str, arch: str) -> None:
    assert parse_probe(printed(f"machine={machine}", f"class={elf_class}")).arch == arch


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("uid=0", "uid", 0),
        ("uid=", "uid", -1),
        ("uid=-5", "uid", -1),
        ("uid=" + "9" * 5000, "uid", -1),
        ("uid=\u0661", "uid", -1),
        ("epoch=1700000000", "epoch", 1_700_000_000),
        ("epoch=%s", "epoch", None),
        ("init=openrc", "init", "unknown"),
        ("class=7", "bits", 0),
        ("hostname=" + "h" * 100_000, "hostname", "h" * 256),
        ("user=p\x1b[31mdv\r", "user", "p[31mdv"),
    ],
)
def test_a_senseless_value_is_an_absent_one(line: str, field: str, value: object) -> None:
    assert getattr(parse_probe(printed(line)), field) == value


def test_the_script_parses_inside_the_engines_frame(tmp_path: Path) -> None:
    framed = tmp_path / "framed.sh"
    framed.write_text(f"main() {{\n(\nset -eu\n{SCRIPT}\n)\n}}\nmain </dev/null\n", encoding="utf-8")

    assert subprocess.run(["/bin/sh", "-n", framed], capture_output=True, check=False).stderr == b""
