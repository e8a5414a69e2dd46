"""The one script of a round trip, held against every shell that a terminal may have."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.secret import Secret
from runtime.domain import script
from runtime.domain.action import Script, WriteFile
from runtime.domain.ports import Answer
from tests.harness.need import need_program

SHELLS = {
    "dash": ("dash",),
    "bash": ("bash",),
    "bash as sh": ("bash", "--posix"),
    "busybox": ("busybox", "sh"),
    "mksh": ("mksh",),
    "yash": ("yash",),
}
MARKER = "c0ffee"
EVERY_BYTE = bytes(range(256))
OWNER = f"{os.getuid()}:{os.getgid()}"

Ask = Callable[..., Answer]


def run_in(shell: str, text: bytes) -> bytes:
    name, *options = SHELLS[shell]
    program = need_program(name, name)
    with (
        tempfile.TemporaryFile() as output
    ):  # the end of a pipe comes with the watchdog's in mksh, which keeps a copy of it
        subprocess.run(
            [program, *options, "-s"], input=text, stdout=output, stderr=subprocess.DEVNULL, check=False, start_new_session=True,
            timeout=60,
            env={**os.environ, "LC_ALL": "C.UTF-8"},  # yash reads words, and not bytes: in another one it loses some
        )  # fmt: skip
        output.seek(0)
        return output.read()


@pytest.fixture(params=SHELLS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Run sections in one of the shells and read the answer."""

    def run(*sections: tuple[str, str], watchdog: int = 30) -> Answer:
        output = run_in(request.param, script.render(sections, MARKER, watchdog))
        return script.parse(output, MARKER, [name for name, _ in sections])

    return run


def write(path: Path, content: bytes, *, mode: int = 0o644, backup: int = 0) -> tuple[str, str]:
    return "step:write", script.render_step(WriteFile("write", str(path), content, mode, OWNER, backup))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_section_has_its_own_output_and_exit_code(ask: Ask) -> None:
    answer = ask(("one", "echo first"), ("two", "echo second; exit 7"), ("three", "printf no-newline"))
    assert answer.complete
    assert answer.sections == {"one": b"first\n", "two": b"second\n", "three": b"no-newline"}
    assert answer.codes == {"one": 0, "two": 7, "three": 0}


@pytest.mark.parametrize(
    "text", ["false; echo reached", "echo $never_set; echo reached", "false | false; echo reached"]
)
def test_a_section_ends_at_its_first_error(ask: Ask, text: str) -> None:
    answer = ask(("check", text), ("after", "echo still here"))
    assert b"reached" not in answer.sections["check"]
    assert answer.codes["check"] != 0
    assert answer.codes["after"] == 0


def test_a_failed_step_stops_the_steps_after_it(ask: Ask) -> None:
    answer = ask(("step:0", "echo ran"), ("step:1", "exit 3"), ("step:2", "echo must not run"))
    assert answer.complete
    assert answer.codes == {"step:0": 0, "step:1": 3}
    assert "step:2" not in answer.sections


def test_errors_are_part_of_the_section_that_made_them(ask: Ask) -> None:
    answer = ask(("one", "echo oops >&2"), ("two", "true"))
    assert answer.sections == {"one": b"oops\n", "two": b""}


def test_a_section_reads_nothing_of_the_script(ask: Ask) -> None:
    answer = ask(("greedy", "cat; echo done"), ("after", "echo here"))
    assert answer.sections == {"greedy": b"done\n", "after": b"here\n"}


def test_sections_do_not_see_each_others_variables_and_functions(ask: Ask) -> None:
    answer = ask(("one", "x=1; printf() { echo hijacked; }; trap 'echo bye' EXIT"), ("two", "echo ${x:-unset}"))
    assert answer.sections == {"one": b"bye\n", "two": b"unset\n"}


def test_a_syntax_error_runs_nothing_and_is_not_an_answer(ask: Ask, tmp_path: Path) -> None:
    answer = ask(("one", f"touch {tmp_path}/ran"), ("two", "if then"))
    assert not answer.complete
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_cut_anywhere_runs_nothing(shell: str, tmp_path: Path) -> None:
    whole = script.render([("step:0", f"touch {tmp_path}/ran")], MARKER, 30)
    body, last = whole.index(b"main() {"), whole.rindex(b"main")
    # With more of the last line than this all of the script is there, and a shell may well start it.
    cuts = [*range(body, last, 97), whole.rindex(b"}"), last + 3]
    for cut in cuts:
        assert not script.parse(run_in(shell, whole[:cut]), MARKER, ["step:0"]).complete
    assert not (tmp_path / "ran").exists()


def test_shellcheck_has_nothing_to_say_about_a_script() -> None:
    file = WriteFile("w", "/etc/a b", EVERY_BYTE, backup=3)
    step = Script("s", 'echo "$a"', {"a": "it's"})
    sections = [("look", "echo x"), ("step:0", script.render_step(file)), ("step:1", script.render_step(step))]
    check = [need_program("shellcheck", "shellcheck"), "--shell=sh", "-"]
    done = subprocess.run(check, input=script.render(sections, MARKER, 30), capture_output=True, check=False)
    assert done.stdout.decode() == ""


AWKWARD = [
    "",
    " ",
    "it's",
    'a "b" $HOME `id` \\n',
    "-n",
    "*",
    "line\nbreak\n",
    "ção €",
    "'\\''",
    "#x",
    "~",
    "\x01\x7f",
    "a" * 100_000,
]


@pytest.mark.parametrize("value", AWKWARD, ids=range(len(AWKWARD)))
def test_variables_arrive_exactly_as_they_are(ask: Ask, value: str) -> None:
    answer = ask(("step:0", script.assignments({"V": value}) + 'printf %s "$V"'))
    assert answer.sections["step:0"] == value.encode()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives_quoting(value: str) -> None:
    text = script.render([("x", script.assignments({"V": value}) + 'printf %s "$V"')], MARKER, 30)
    assert script.parse(run_in("dash", text), MARKER, ["x"]).sections["x"] == value.encode()


def test_what_no_shell_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        script.quote("a\0b")
    with pytest.raises(ValueError, match="variable name"):
        script.assignments({"a; rm": "x"})
    with pytest.raises(ValueError, match="unique"):
        script.render([("a", ""), ("a", "")], MARKER, 1)


def test_secrets_are_masked_where_a_step_is_shown() -> None:
    step = Script("login", 'use "$password"', {"user": "ana", "password": Secret("s3cret")})
    assert "s3cret" in script.render_step(step)
    shown = script.render_step(step, masked=True)
    assert "s3cret" not in shown
    assert "ana" in shown


CONTENTS = {
    "empty": b"",
    "text": b"America/Sao_Paulo\n",
    "every byte": EVERY_BYTE,
    "no newline at the end": b"a\nb",
    "looks like options": b"-n %s \\101 'quoted' $x `id`\n",
    "latin-1": "Loja São João\n".encode("latin-1"),
    "100 kB of every byte": EVERY_BYTE * 400,
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_file_gets_exactly_its_bytes_and_its_mode(ask: Ask, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "new folder" / "it's a file"
    answer = ask(write(path, content, mode=0o640))
    assert answer.codes == {"step:write": 0}, answer
    assert answer.sections["step:write"] == b"written\n"
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o7777 == 0o640
    assert names(path.parent) == [path.name]


def test_an_equal_file_is_left_alone(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "file"
    ask(write(path, EVERY_BYTE))
    before = path.stat()
    assert ask(write(path, EVERY_BYTE)).sections["step:write"] == b"unchanged\n"
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("difference", ["content", "mode", "link"])
def test_a_file_that_differs_is_replaced(ask: Ask, tmp_path: Path, difference: str) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"same")
    if difference == "link":
        path.symlink_to(other)
    else:
        path.write_bytes(b"old" if difference == "content" else b"same")
        path.chmod(0o644 if difference == "content" else 0o600)
    assert ask(write(path, b"same")).sections["step:write"] == b"written\n"
    assert not path.is_symlink()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"same", 0o644)


def test_backups_are_dated_and_limited(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for stamp in ("20200101000000", "20210101000000", "20220101000000"):
        (tmp_path / f"file.bak-{stamp}").write_text(stamp)
    (tmp_path / "file.bak-of-somebody").touch()
    path.write_text("old")
    assert ask(write(path, b"new", backup=2)).codes == {"step:write": 0}
    kept = [name for name in names(tmp_path) if re.fullmatch(r"file\.bak-\d{14}", name)]
    assert len(kept) == 2
    assert kept[0] == "file.bak-20220101000000"
    assert (tmp_path / kept[1]).read_text() == "old"
    assert (tmp_path / "file.bak-of-somebody").exists()


def test_a_folder_is_never_replaced(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert ask(write(tmp_path / "folder", b"x")).codes == {"step:write": 1}
    assert names(tmp_path / "folder") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_full_disk_leaves_the_old_file(shell: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    limited = b"ulimit -f 1\ntrap '' XFSZ\n" + script.render([write(tmp_path / "file", EVERY_BYTE * 400)], MARKER, 30)
    answer = script.parse(run_in(shell, limited), MARKER, ["step:write"])
    assert answer.codes.get("step:write") != 0
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("path", ["relative", "/", "/etc/.."])
def test_only_the_absolute_path_of_a_file_is_written(path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        script.render_step(WriteFile("x", path, b""))


def test_the_watchdog_ends_the_whole_group() -> None:
    stuck = script.render([("stuck", "trap '' TERM HUP; sleep 60 & echo $!; wait; sleep 60")], MARKER, 1)
    with ThreadPoolExecutor(len(SHELLS)) as together:  # each takes three seconds
        outputs = dict(zip(SHELLS, together.map(lambda shell: run_in(shell, stuck), SHELLS), strict=True))
    answers = {shell: script.parse(output, MARKER, ["stuck"]) for shell, output in outputs.items()}
    assert [shell for shell, answer in answers.items() if answer.complete] == []
    children = {shell: int(answer.sections["stuck"]) for shell, answer in answers.items()}

    def left() -> list[str]:
        return [shell for shell, child in children.items() if Path(f"/proc/{child}").exists()]

    until = time.monotonic() + 10
    while time.monotonic() < until and left():
        time.sleep(0.05)
    still = left()
    for shell in still:
        os.kill(children[shell], signal.SIGKILL)
    assert still == []


def test_output_in_pieces_reads_like_output_at_once() -> None:
    output = (
        b"banner \xe9\n\nM group 42\n\nM begin a\none\ntwo\nM ended 0 a\n\nM begin b\n\nM ended 5 b\n\nM end\nafter"
    )
    whole = script.parse(output, "M", "ab")
    assert whole == Answer({"a": b"one\ntwo", "b": b""}, {"a": 0, "b": 5}, True, noise=b"banner \xe9")
    for size in (1, 2, 3, 7, 50):
        reader = script.Reader("M", 4096, "ab")
        for at in range(0, len(output), size):
            reader.feed(output[at : at + size])
        assert reader.answer() == whole
        assert reader.group == 42


@pytest.mark.parametrize("cut", range(0, 66, 5))
def test_output_without_its_end_is_never_complete(cut: int) -> None:
    output = b"\nM begin step:0\nx\nM ended 0 step:0\n\nM begin step:1\npart of it\nM end\n"
    answer = script.parse(output[:cut], "M", ["step:0", "step:1"])
    assert not answer.complete
    assert "step:1" not in answer.codes


def test_frames_of_another_marker_are_only_output() -> None:
    forged = b"\nF begin a\nfake\nF ended 0 a\n\nF end\n"
    assert not script.parse(forged, "M", "a").complete
    answer = script.parse(b"\nM begin a" + forged + b"\nM ended 1 a\n\nM end\n", "M", "a")
    assert (answer.sections, answer.codes) == ({"a": forged[1:]}, {"a": 1})


def test_a_flood_is_cut_at_the_limit_and_later_sections_are_still_read() -> None:
    reader = script.Reader("M", 10_000, ["flood", "small"])
    reader.feed(b"\nM begin flood\n")
    for _ in range(1000):
        reader.feed(b"y\n" * 5000)
    reader.feed(b"\nM ended 0 flood\n\nM begin small\nheard\nM ended 0 small\n\nM end\n")
    answer = reader.answer()
    assert answer.complete
    assert answer.truncated
    assert len(answer.sections["flood"]) == 10_000
    assert answer.sections["small"] == b"heard"


# The host has read the marker, so it can print any frame it likes.
FORGED = {
    "millions of sections with names of their own": b"".join(
        b"\nM begin %d\n\nM ended 0 %d\n" % (n, n) for n in range(200_000)
    ),
    "one section again and again": b"\nM begin a\nx\nM ended 0 a\n" * 200_000,
    "long names": b"".join(b"\nM begin %d%s\n" % (n, b"x" * 2000) for n in range(2_000)),
    "frames that are none": b"\nM x\n" * 400_000,
    "noise": b"y\n" * 1_000_000,
    "one endless line": b"\nM begin " + b"x" * 2_000_000,
    "endless output": b"\nM begin a\n" + b"x" * 2_000_000,
    "nothing but NUL": b"\0" * 2_000_000,
    "nothing but carriage returns": b"\nM begin a\n" + b"\r" * 2_000_000,
}


@pytest.mark.parametrize("output", FORGED.values(), ids=FORGED)
def test_what_is_kept_of_a_hostile_answer_does_not_grow_with_it(output: bytes) -> None:
    reader = script.Reader("M", 10_000, ["a", "b"])
    for at in range(0, len(output), 32_768):
        reader.feed(output[at : at + 32_768])
        reader.aside(output[at : at + 32_768])
    answer = reader.answer()
    kept = (
        sum(len(name) + len(output) for name, output in answer.sections.items()) + len(answer.noise) + len(reader._rest)
    )
    assert kept <= 10_000 + 2 * script.SECTION_KEPT + script.NOISE_KEPT + script.LINE
    assert {*answer.sections, *answer.codes} <= {"a", "b"}
    assert not answer.complete


def test_more_frames_than_the_script_has_are_a_flood_at_once() -> None:
    reader = script.Reader("M", 10_000, ["a"])
    reader.feed(b"\nM begin a\n" * 100)
    assert reader.flooded
    assert reader.answer().truncated


@pytest.mark.parametrize(
    ("output", "sections", "codes", "complete"),
    [
        pytest.param(b"M ended %s a" % (b"9" * 5000), {"a": b"x"}, {}, True, id="a code of thousands of digits"),
        pytest.param(b"M ended 256 a", {"a": b"x"}, {}, True, id="a code that no shell has"),
        pytest.param(b"M ended -1 a", {"a": b"x"}, {}, True, id="a negative code"),
        pytest.param(b"M ended 0 b", {"a": b"x"}, {}, True, id="the end of a section that never began"),
        pytest.param(b"M ended 0 other", {"a": b"x"}, {}, True, id="the end of a section that nobody asked for"),
        pytest.param(b"M ended 0 a\n\nM ended 1 a", {"a": b"x"}, {"a": 0}, True, id="a second end"),
        pytest.param(b"M begin a\ny", {"a": b"x"}, {}, True, id="a second begin"),
        pytest.param(b"M begin other\ny", {"a": b"x"}, {}, True, id="a section that nobody asked for"),
        pytest.param(b"M group %s" % (b"9" * 5000), {"a": b"x"}, {}, True, id="a process group of thousands of digits"),
        pytest.param(b"M group -1", {"a": b"x"}, {}, True, id="a negative process group"),
        pytest.param(b"M\0ended 0 a", {"a": b"x\nM\0ended 0 a\n"}, {}, True, id="a NUL in a frame"),
        pytest.param(b"M ended 0 a\r", {"a": b"x"}, {}, True, id="a carriage return after the name"),
        pytest.param(b"M end\n\nM ended 0 a", {"a": b"x"}, {}, True, id="the end of all before that of a section"),
    ],
)
def test_a_forged_frame_is_passed_over(
    output: bytes, sections: dict[str, bytes], codes: dict[str, int], complete: bool
) -> None:
    answer = script.parse(b"\nM begin a\nx\n" + output + b"\n\nM end\n", "M", ["a", "b"])
    assert (answer.sections, answer.codes, answer.complete) == (sections, codes, complete)


@given(
    st.lists(
        st.sampled_from([b"\nM ", b"begin ", b"ended ", b"end", b"group ", b"0 ", b"a", b"\n", b"9" * 30, b"\xff"])
    )
)
def test_any_sequence_of_frames_is_read_within_bounds(pieces: list[bytes]) -> None:
    whole = script.parse(b"".join(pieces), "M", ["a"])
    reader = script.Reader("M", len(b"".join(pieces)), ["a"])
    for piece in pieces:
        reader.feed(piece)
    assert reader.answer() == whole
    assert set(whole.codes) <= set(whole.sections) <= {"a"}
    assert all(0 <= code <= 255 for code in whole.codes.values())
