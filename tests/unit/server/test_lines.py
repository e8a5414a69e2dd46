"""The lines to paste, pasted: real shells and a real curl in front of a server that answers in every way."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from commandline.language import in_each_language
from contracts.secret import Secret
from server.reasons import table
from server.services.installer import lines
from server.services.installer.assets import InstallerFiles
from server.services.installer.error_script import SH, error_script
from server.services.installer.lines import NOT_A_SCRIPT, POWERSHELL_MARK, SH_MARK, Recipe
from server.services.installer.script import Bootstrap
from tests.harness.need import need_program
from tools import powershell

ROOT = Path(__file__).parents[3]
SHELLS = ("dash", "bash", "busybox")
TOKEN = Secret("fm1.0123456789ab.token-of-this-test_0123456789abcdefghijklmn")
INSTALLER = """#!/bin/sh
{
printf 'installed:'
printf ' <%s>' "$@"
echo
exit 3
}
"""
PAGE = "<html>\n<body>\ntouch hit; $(touch hit)\n</body></html>\n"


@dataclass
class Answer:
    status: int = 200
    body: str = INSTALLER
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes after which the connection ends


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[Mapping[str, str]]]]:
    """Its address, and the headers of the requests that came."""
    seen: list[Mapping[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({"path": self.path, **dict(self.headers)})
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: answer.cut])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def recipe(url: str, *, windows: bool = False, ca: str | None = None, says: str = NOT_A_SCRIPT) -> Recipe:
    make = lines.windows if windows else lines.linux
    return make(Bootstrap(url, "image", InstallerFiles(None)), "SOL", TOKEN, ca, says)


@dataclass(frozen=True)
class Desk:
    """Where a person pastes: ``folder`` is the current one, ``shell`` theirs and root's."""

    folder: Path
    shell: str

    def paste(self, line: str) -> subprocess.CompletedProcess[str]:
        programs = self.folder.parent / "programs"
        return subprocess.run(
            [programs / "sh", "-c", line], cwd=self.folder, capture_output=True, text=True, check=False, timeout=30,
            env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(self.folder.parent)}, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(params=SHELLS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    programs, folder = tmp_path / "programs", tmp_path / "here"
    programs.mkdir()
    folder.mkdir()
    # busybox is the shell that it is called as.
    (programs / "sh").symlink_to(need_program(request.param, request.param))
    (programs / "sudo").write_text('#!/bin/bash\nexec "$@"\n')
    (programs / "sudo").chmod(0o755)
    # What a person's own curl is told must not matter here.
    (tmp_path / ".curlrc").write_text('output = "hit"\nlocation\nfail\n')
    return Desk(folder, request.param)


def test_the_line_runs_the_installer_with_the_options_at_its_end(desk: Desk) -> None:
    with serving(Answer()) as (url, seen):
        done = desk.paste(f"{recipe(url, ca='/the ca.pem').line} --dry-run --runtime-name 'a b'")
    assert (done.returncode, done.stdout) == (3, "installed: <--ca> </the ca.pem> <--dry-run> <--runtime-name> <a b>\n")
    [request] = seen
    assert (request["path"], request["X-Bot-Token"]) == ("/api/bootstrap/install.sh?rede=SOL", TOKEN.reveal())


def test_the_three_commands_do_the_same_and_the_saved_script_is_for_its_owner_only(desk: Desk) -> None:
    with serving(Answer()) as (url, _):
        steps = recipe(url)
        assert desk.paste(steps.save).returncode == 0
    [saved] = desk.folder.iterdir()
    assert saved.read_text() == INSTALLER
    assert saved.stat().st_mode & 0o777 == 0o600
    assert desk.paste(steps.read.replace("less", "cat")).stdout == INSTALLER
    done = desk.paste(f"{steps.run} --dry-run")
    assert (done.returncode, done.stdout) == (3, "installed: <--dry-run>\n")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
def test_an_error_of_the_control_plane_is_printed_and_the_line_fails(desk: Desk, status: int) -> None:
    body = error_script(SH, table.TOKEN_USED, status, "c0ffee", {"token": "0123456789ab"})
    with serving(Answer(status, body)) as (url, _):
        steps = recipe(url)
        for done in (desk.paste(steps.line), (desk.paste(steps.save), desk.paste(steps.run))[1]):
            assert (done.returncode, done.stdout) == (1, "")
            assert "This line was used before" in done.stderr
            assert "Ask your monitoring company for a new line." in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, PAGE),
        Answer(200, PAGE),
        Answer(200, ""),
        Answer(200, "touch hit\n"),
        Answer(302, PAGE, {"Location": "/elsewhere"}),
        Answer(403, '{"reason": "token_used"}'),
    ],
    ids=["an error page", "a page", "nothing", "another script", "a redirect", "json"],
)
def test_what_is_no_installer_is_not_run_and_the_line_fails(desk: Desk, answer: Answer) -> None:
    with serving(answer) as (url, seen):
        done = desk.paste(recipe(url).line)
    assert (done.returncode, done.stdout) == (1, "")
    assert NOT_A_SCRIPT in done.stderr
    assert list(desk.folder.iterdir()) == []
    assert len(seen) == 1, "no redirect is followed with the token"


def test_without_a_network_the_line_fails(desk: Desk) -> None:
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        done = desk.paste(recipe(f"http://127.0.0.1:{bound.getsockname()[1]}").line)
    assert (done.returncode, done.stdout) == (1, "")
    assert "curl: (7)" in done.stderr
    assert NOT_A_SCRIPT in done.stderr


def test_an_answer_that_breaks_off_runs_nothing_and_the_line_fails(desk: Desk) -> None:
    for cut in (0, 4, len(SH_MARK) + 2, 30, len(INSTALLER) - 3):
        with serving(Answer(cut=cut)) as (url, _):
            done = desk.paste(recipe(url).line)
        assert done.returncode != 0, cut
        assert "installed" not in done.stdout


def test_the_token_is_in_no_argument_of_a_program(desk: Desk) -> None:
    programs = desk.folder.parent / "programs"
    (programs / "curl").write_text('#!/bin/bash\nprintf "%s\\n" "$0" "$@" >args\ncat >given\n')
    (programs / "curl").chmod(0o755)
    desk.paste(recipe("https://control.example").save)
    assert TOKEN.reveal() not in (desk.folder / "args").read_text()
    assert (desk.folder / "given").read_text() == f'header = "X-Bot-Token: {TOKEN.reveal()}"\n'


def test_the_scripts_of_this_release_begin_as_the_lines_expect() -> None:
    assert (ROOT / "bootstrap/install.sh").read_text().startswith(SH_MARK + "\n")
    assert (ROOT / "bootstrap/install.ps1").read_text().startswith(POWERSHELL_MARK)


def test_the_sentence_inside_the_line_is_plain_in_every_language_and_shell() -> None:
    for text in in_each_language(NOT_A_SCRIPT).values():
        assert not set(text) & set("'\"$`\\!%"), text
        assert powershell.faults(recipe("https://control.example", windows=True, says=text).line.encode()) == []


def test_every_command_for_windows_is_powershell() -> None:
    for ca in (None, "C:\\company's ca.pem"):
        steps = recipe("https://control.example", windows=True, ca=ca)
        for command in (steps.line, steps.save, steps.read, steps.run):
            assert powershell.faults(command.encode()) == []
