"""The simulated terminals' parts that need no network: profiles, trees, remembered answers, credentials."""

import asyncio
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.terminals import keys
from demo.terminals.answers import FIRST_STATE, HOSTNAME, UNKNOWN, Answer, Memory
from demo.terminals.profiles import DEFAULT_PROFILES, Behaviour, Privilege, Profile, Terminal, alike, load
from demo.terminals.tree import copy, digest, erase, lay

TERMINALS = {terminal.id: terminal for terminal in load()}


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    for terminal in TERMINALS.values():
        path = tmp_path / "zones" / terminal.profile.zone
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"TZif")
    return tmp_path / "zones"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "root").mkdir()
    yield tmp_path / "root"
    erase(tmp_path / "root")


def test_the_demo_has_every_kind_of_terminal_that_its_story_needs() -> None:
    profiles = [terminal.profile for terminal in TERMINALS.values()]
    assert {profile.behaviour for profile in profiles} == set(Behaviour)
    assert {profile.privilege for profile in profiles} == set(Privilege)
    assert {profile.provider for profile in profiles} == {"arius", "zanthus"}
    assert {profile.auth for profile in profiles} == {"password", "keyboard", "key"}
    assert {profile.system.bits for profile in profiles} == {32, 64}
    assert [t.hostname for t in TERMINALS.values() if t.profile.role == "concentrator"] == ["DEMO-LOJA001-CONCENTRADOR"]


MISTAKES = {
    "address outside loopback": ("address: 127.77.0.11", "address: 10.0.0.1", "loopback"),
    "address twice": (
        "address: 127.77.0.11",
        "address: 127.77.0.12",
        "more than one terminal has the address 127.77.0.12",
    ),
    "id twice": ("id: slackware", "id: mint", "more than one terminal has the id mint"),
    "unknown system": ("system: tillos", "system: beos", 'no system "beos"'),
    "unknown tool": ("tools: [lsb_release, sudo, timedatectl, upstart]", "tools: [emacs]", 'no tool "emacs"'),
    "root by sudo": ("hostname: DEMO-LOJA001-PDV201", "hostname: X\n    privilege: nopasswd", "user root goes with"),
    "two kinds in a node": ('{text: "jessie/sid\\n"}', '{text: "jessie/sid", link: /x}', "exactly one of"),
    "unknown key": ("title: switched off", "titel: switched off", "titel"),
}


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_profiles_is_named(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    text = DEFAULT_PROFILES.read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "profiles.yaml").write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "profiles.yaml")


def test_terminals_alike_have_addresses_and_names_of_their_own() -> None:
    many = alike(TERMINALS["unknown"].profile, 3000)
    assert len({t.address for t in many}) == len({t.hostname for t in many}) == len({t.id for t in many}) == 3000
    assert (many[0].address, many[0].hostname) == ("127.64.0.1", "BENCH-LOJA001-PDV201")
    assert (many[2999].address, many[2999].hostname) == ("127.64.11.184", "BENCH-LOJA300-PDV210")


@pytest.mark.parametrize("name", TERMINALS)
def test_a_tree_holds_what_the_profile_says_and_leaves_no_write_bit_to_its_owner(
    name: str, root: Path, zones: Path
) -> None:
    terminal = TERMINALS[name]
    lay(root, terminal, "secret", zones)
    for path in (*terminal.profile.system.files, *terminal.profile.files):
        assert (root / path.lstrip("/")).is_symlink() or (root / path.lstrip("/")).exists(), path
    own = {"tmp", "var/tmp", terminal.profile.home.strip("/")}
    writable = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & stat.S_IWUSR
    }
    assert writable <= own
    assert (root / "etc/hostname").read_text() == f"{terminal.hostname}\n"
    assert stat.S_IMODE((root / "etc/shadow").stat().st_mode) == 0
    (root / "etc/shadow").chmod(0o400)
    assert "secret" not in (root / "etc/shadow").read_text()


def test_the_till_knows_its_store_and_number_from_its_name(root: Path, zones: Path) -> None:
    lay(root, TERMINALS["zanthus"], "secret", zones)
    assert (root / "posnet/pdv.conf").read_text() == "PDV_NROLOJA=2\nPDV_NROCPU=204\n"


def test_a_digest_distinguishes_contents_modes_and_links_and_nothing_else(tmp_path: Path) -> None:
    def made(name: str, text: str = "a", mode: int = 0o644, link: str = "x") -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_text(text)
        (folder / "file").chmod(mode)
        (folder / "link").symlink_to(link)
        return digest(folder)

    assert made("one") == made("two")
    assert len({made("three"), made("text", text="b"), made("mode", mode=0o600), made("link", link="y")}) == 4


def test_a_copy_is_alike_down_to_what_only_root_may_read(root: Path, zones: Path, tmp_path: Path) -> None:
    lay(root, TERMINALS["mint"], "secret", zones)
    before = digest(root)
    copy(root, tmp_path / "copy")
    assert digest(tmp_path / "copy") == digest(root) == before
    assert stat.S_IMODE((tmp_path / "copy/etc/shadow").stat().st_mode) == 0
    erase(tmp_path / "copy")


def test_erasing_removes_folders_without_write_bits_and_leaves_what_links_point_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o500)
    (tmp_path / "gone/deep").mkdir(parents=True)
    (tmp_path / "gone/deep/link").symlink_to(tmp_path / "kept")
    (tmp_path / "gone/deep").chmod(0)
    erase(tmp_path / "gone")
    erase(tmp_path / "gone")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o500


@dataclass
class Machine:
    """Runs scripts in memory: says what it was given, and knows how often it was asked."""

    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    fails: bool = False

    async def run(self, state: str, command: str, given: bytes) -> Answer:
        self.asked.append((state, command, given))
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("no box")
        return Answer(given + HOSTNAME.encode(), b"", 3, "written" if b"write" in given else state)


def ask(
    memory: Memory, machine: Machine | None, given: bytes, *, state: str = FIRST_STATE, hostname: str = "PDV201"
) -> Answer:
    return asyncio.run(memory.ask("kind", state, "sh", given, hostname, machine.run if machine else None))


def test_a_script_runs_once_however_many_ask_at_the_same_time() -> None:
    machine, memory = Machine(), Memory()

    async def all_ask() -> list[Answer]:
        return await asyncio.gather(
            *(memory.ask("kind", FIRST_STATE, "sh", b"id", f"PDV{n}", machine.run) for n in range(50))
        )

    answers = asyncio.run(all_ask())
    assert len(machine.asked) == 1
    assert [answer.stdout for answer in answers] == [f"idPDV{n}".encode() for n in range(50)]
    assert {answer.status for answer in answers} == {3}


def test_a_random_marker_asks_the_same_question_and_comes_back_in_the_answer() -> None:
    machine, memory = Machine(), Memory()
    first, second = b"echo 00112233445566778899 end", b"echo ffeeddccbbaa99887766 end"
    assert ask(memory, machine, first).stdout == first + b"PDV201"
    assert ask(memory, machine, second).stdout == second + b"PDV201"
    assert len(machine.asked) == 1


def test_a_marker_that_is_also_in_the_command_makes_no_other_question() -> None:
    machine, memory = Machine(), Memory()
    for marker in ("0123456789abcdef", "fedcba9876543210"):
        given = f"{marker} id".encode()
        said = asyncio.run(memory.ask("kind", FIRST_STATE, f"sh {marker}", given, "PDV201", machine.run))
        assert said.stdout == given + b"PDV201"
    assert len(machine.asked) == 1


def test_another_state_script_or_kind_is_another_question() -> None:
    machine, memory = Machine(), Memory()
    assert ask(memory, machine, b"write").state == "written"
    ask(memory, machine, b"write", state="written")
    ask(memory, machine, b"read", state="written")
    assert [(state, given) for state, _, given in machine.asked] == [
        (FIRST_STATE, b"write"),
        ("written", b"write"),
        ("written", b"read"),
    ]


def test_a_run_that_failed_is_not_remembered() -> None:
    machine, memory = Machine(fails=True), Memory()
    with pytest.raises(OSError, match="no box"):
        ask(memory, machine, b"id")
    machine.fails = False
    assert ask(memory, machine, b"id").stdout == b"idPDV201"


def test_recorded_answers_serve_where_nothing_can_be_run(tmp_path: Path) -> None:
    memory, replay = Memory(), Memory()
    ask(memory, Machine(), b"id \xff 0123456789abcdef0123")
    memory.save(tmp_path / "answers.json")

    async def replayed() -> list[Answer]:
        replay.load(tmp_path / "answers.json")
        asked = (b"id \xff aaaabbbbccccdddd0000", b"never asked")
        return [await replay.ask("kind", FIRST_STATE, "sh", given, "PDV202", None) for given in asked]

    known, unknown = asyncio.run(replayed())
    assert known.stdout == b"id \xff aaaabbbbccccdddd0000PDV202"
    assert unknown == UNKNOWN


def test_credentials_stay_the_same_between_runs_and_are_private(tmp_path: Path) -> None:
    profiles = {terminal.id: terminal.profile for terminal in TERMINALS.values()}
    first = keys.Credentials(tmp_path)
    first.note(profiles)
    noted = first.path.read_bytes()
    second = keys.Credentials(tmp_path)
    second.note(profiles)
    assert second.path.read_bytes() == noted
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert "***" in repr(first.noted("slackware"))


def opens(terminal: Terminal, profile: Profile, tmp_path: Path, user: str, password: str | None = None) -> bool:
    credentials = keys.Credentials(tmp_path)
    credentials.note({terminal.id: profile})
    right = credentials.noted(terminal.id).get_secret_value()
    return credentials.opens(terminal.id, profile, user, right if password is None else password)


@pytest.mark.parametrize(
    ("name", "user", "password", "expected"),
    [
        ("mint", "pdv", None, True),
        ("mint", "root", None, False),
        ("mint", "pdv", "wrong", False),
        ("mint", "pdv", "", False),
        ("locked", "pdv", None, False),
        ("ubuntu", "pdv", "", False),  # a key opens it, and it has no password
    ],
)
def test_only_the_noted_password_opens_and_not_where_it_no_longer_fits(
    tmp_path: Path, name: str, user: str, password: str | None, expected: bool
) -> None:
    terminal = TERMINALS[name]
    assert opens(terminal, terminal.profile, tmp_path, user, password) is expected


def test_a_host_key_is_found_again_until_it_is_rotated(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    first = keys.host_key(tmp_path, "mint", "ssh-ed25519").public_data
    other = keys.host_key(tmp_path, "mint-2", "ssh-ed25519").public_data
    assert keys.host_key(tmp_path, "mint", "ssh-ed25519").public_data == first
    keys.rotate(tmp_path, "mint")
    assert keys.host_key(tmp_path, "mint", "ssh-ed25519").public_data != first
    assert keys.host_key(tmp_path, "mint-2", "ssh-ed25519").public_data == other
