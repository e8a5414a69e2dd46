"""An answer that never ends holds nobody: every call to the control plane and to Zabbix is over by its deadline."""

import asyncio
import contextlib
import datetime as dt
import gc
import socket
import ssl
import struct
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3.util import Retry

from contracts.config import ZabbixInventory
from contracts.secret import Secret
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.adapters.control_plane.transport import Intercepted, Unavailable
from runtime.adapters.http_deadline import DeadlinePassed, Wire, paced
from runtime.adapters.web_proxies import WebProxies
from runtime.adapters.zabbix.api import connected
from runtime.domain.errors import InventoryUnavailable
from tests.harness import weird
from tests.harness.ports import LOOPBACK

DEADLINE_S = 1.0
LATE_S = 1.0  # more than that is too late; the rest of a busy machine's slowness is in here
DRIP_S = 0.02
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def after(head: bytes, piece: bytes) -> weird.Behaviour:
    """Take the request, send the head, then the piece for ever, one byte at a time."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            for byte in piece:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIP_S)

    return behave


def repeating(piece: bytes) -> weird.Behaviour:
    """Take the request, then send the piece for ever, whole."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(DRIP_S)

    return behave


HOSTILE: dict[str, tuple[weird.Behaviour, str]] = {
    "a status line that drips": (after(b"", b"HTTP/1.1 200 " + b"O" * 1000), "http"),
    "a header line that drips": (after(OK, b"X-Slow: " + b"a" * 1000), "http"),
    "headers without end": (repeating(b"X-A: b\r\n"), "http"),
    "interim answers without end": (repeating(b"HTTP/1.1 100 Continue\r\n\r\n"), "http"),
    "interim answers with headers that drip": (after(b"HTTP/1.1 100 Continue\r\n", b"X: y\r\n"), "http"),
    "a chunk size that drips": (after(CHUNKED, b"0"), "http"),
    "a chunk extension that drips": (after(CHUNKED + b"1;", b"a=b;"), "http"),
    "chunks of one byte without end": (after(CHUNKED, b"1\r\n \r\n"), "http"),
    "trailers without end": (after(CHUNKED + b"0\r\n", b"X: y\r\n"), "http"),
    "a body that drips": (after(OK + b"\r\n", b" "), "http"),
    "a body that drips to its announced length": (after(OK + b"Content-Length: 900000\r\n\r\n", b" "), "http"),
    "silence after the request": (weird.silent, "http"),
    "a TLS handshake that stalls": (weird.silent, "https"),
    "a TLS handshake that drips": (weird.dripping(b"\x16\x03\x03\x3f\xff" + b"\x00" * 9000, DRIP_S), "https"),
}


DIRECT = WebProxies()


def plane(url: str, web_proxies: WebProxies = DIRECT) -> HttpControlPlane:
    return HttpControlPlane(
        url,
        token=Secret("t"),
        web_proxies=web_proxies,
        connect_timeout=30,
        read_timeout=30,
        total_timeout=DEADLINE_S,
    )


def ask_plane(url: str, web_proxies: WebProxies = DIRECT) -> str:
    answer = plane(url, web_proxies).fetch_config(None, correlation_id="c", now=dt.datetime.now(dt.UTC))
    assert isinstance(answer, Unavailable), answer
    return answer.reason


def ask_zabbix(url: str, web_proxies: WebProxies = DIRECT) -> str:
    source = ZabbixInventory.model_validate({"kind": "zabbix", "url": url, "token": "t", "timeout": 30})
    with pytest.raises(InventoryUnavailable) as caught, connected(source, within=DEADLINE_S, web_proxies=web_proxies):
        raise AssertionError("a session was opened")
    assert caught.value.reason in ("zabbix_timeout", "zabbix_unreachable")
    return caught.value.message


@pytest.fixture(params=[ask_plane, ask_zabbix], ids=["control plane", "Zabbix"])
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """The call; afterwards nothing of it is left running."""
    before = set(threading.enumerate())
    yield request.param
    for thread in set(threading.enumerate()) - before:
        thread.join(2)
        assert not thread.is_alive(), "a thread still waits for an answer that nobody needs"


@pytest.mark.parametrize(("behaviour", "scheme"), HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_never_ends_is_over_by_the_deadline(
    ask: Callable[[str], str], behaviour: weird.Behaviour, scheme: str
) -> None:
    with weird.serving(behaviour) as port:
        begun = time.monotonic()
        said = ask(f"{scheme}://{LOOPBACK}:{port}/x")
        took = time.monotonic() - begun
    assert took < DEADLINE_S + LATE_S
    if took >= DEADLINE_S:
        assert "in time (waited 1 s)" in said or "all the time that was left" in said


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 200 " + b"O" * 1000, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000],
    ids=["its status line", "a header"],
)
def test_a_proxy_that_drips_is_over_by_the_deadline(ask: Callable[..., str], reply: bytes) -> None:
    with weird.serving(after(b"", reply)) as port:
        begun = time.monotonic()
        ask("https://control.test/x", WebProxies({"HTTPS_PROXY": f"http://{LOOPBACK}:{port}"}))
        assert DEADLINE_S <= time.monotonic() - begun < DEADLINE_S + LATE_S


@pytest.mark.parametrize("asking", [ask_plane, ask_zabbix], ids=["control plane", "Zabbix"])
def test_a_name_lookup_that_never_answers_ends_by_the_deadline(
    asking: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found.wait(30) and [])
    try:
        begun = time.monotonic()
        assert "did not answer" in asking("https://control.test/x")
        assert DEADLINE_S <= time.monotonic() - begun < DEADLINE_S + LATE_S
    finally:
        found.set()


def test_a_connection_that_comes_after_the_deadline_is_closed_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    late, seen = threading.Event(), []
    look_up = socket.getaddrinfo

    def slow(*words: object, **more: object) -> object:
        late.wait(30)
        return look_up(*words, **more)  # type: ignore[arg-type]

    async def listen(reader: StreamReader, _: StreamWriter) -> None:
        seen.append(await reader.read(100))

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with weird.serving(listen) as port:
        threads = set(threading.enumerate())
        assert "did not answer" in ask_plane(f"http://{LOOPBACK}:{port}/x")
        late.set()
        for thread in set(threading.enumerate()) - threads:
            thread.join(5)
        deadline = time.monotonic() + 5
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
    assert seen == [b""], "the token left after the call was given up"


def answering(head: bytes) -> weird.Behaviour:
    """Answer every request of a connection, as long as the client lets it."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            await writer.drain()
            if b"close" in head:
                return

    return behave


def connections(port: int) -> int:
    """How many descriptors of ours are connected to this port."""
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            borrowed = socket.socket(fileno=int(path.name))
            try:
                found += borrowed.getpeername() == (LOOPBACK, port)
            finally:
                borrowed.detach()
    return found


KEPT: dict[str, tuple[weird.Behaviour, str, int]] = {
    "closed by the server": (answering(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"), "http", 0),
    "ended by the body's end": (answering(OK + b"Connection: close\r\n\r\n{}"), "http", 0),
    "kept for the next request": (answering(OK + b"Content-Length: 2\r\n\r\n{}"), "http", 2),
    "no TLS on the other side": (weird.saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "https", 0),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_connection_that_is_over_keeps_no_descriptor_until_the_session_ends(case: str) -> None:
    """Of a connection that stands there are two: its own, and the copy that a deadline would cut."""
    behaviour, scheme, kept = KEPT[case]
    with weird.serving(behaviour) as port, Wire() as wire, requests.Session() as session:
        session.trust_env = False
        wire.mount(session, Retry(0))
        counts = []
        for _ in range(10):
            with contextlib.suppress(requests.ConnectionError):
                wire.within(20, lambda: session.get(f"{scheme}://{LOOPBACK}:{port}/x", timeout=20).content)
            counts.append(connections(port))
    assert set(counts) == {kept}, counts


def test_a_connection_that_is_reset_before_tls_begins_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for garbage collection, which closes what nobody else does."""
    loading, reset, callers = threading.Event(), threading.Event(), []
    load = ssl.SSLContext.load_verify_locations

    async def hang_up(_: StreamReader, writer: StreamWriter) -> None:
        callers.append(writer.get_extra_info("peername"))
        assert await asyncio.to_thread(loading.wait, 20)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        asyncio.get_running_loop().call_soon(reset.set)

    def load_after_the_reset(*words: Any, **more: Any) -> None:
        loading.set()
        assert reset.wait(20)
        load(*words, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load_after_the_reset)
    gc.disable()
    try:
        with weird.serving(hang_up) as port, Wire() as wire, requests.Session() as session:
            session.trust_env = False
            wire.mount(session, Retry(0))
            with pytest.raises(requests.ConnectionError, match="reset by peer"):
                wire.within(30, lambda: session.get(f"https://{LOOPBACK}:{port}/x", timeout=20))
            assert not [address for address in own_addresses() if address in callers]
    finally:
        gc.enable()
    assert len(callers) == 1


def own_addresses() -> list[Any]:
    """The local address of every socket of this process."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            borrowed = socket.socket(fileno=int(path.name))
            try:
                found.append(borrowed.getsockname())
            finally:
                borrowed.detach()
    return found


def test_a_caller_with_less_time_is_not_held_longer() -> None:
    with weird.serving(weird.silent) as port:
        begun = time.monotonic()
        patient = HttpControlPlane(f"http://{LOOPBACK}:{port}/x", token=Secret("t"), total_timeout=60)
        answer = patient.fetch_config(None, correlation_id="c", now=dt.datetime.now(dt.UTC), within=0.3)
        assert isinstance(answer, Unavailable)
        assert "waited 0.3 s" in answer.reason
        assert time.monotonic() - begun < 0.3 + LATE_S


@pytest.mark.parametrize(
    ("pause", "pieces", "seconds"),
    [(0.01, 10_000, 0.5), (10.0, 2, 0.2)],
    ids=["pieces that come for ever", "a piece that does not come"],
)
def test_a_stream_ends_by_its_silence_or_its_whole_time(pause: float, pieces: int, seconds: float) -> None:
    def slow() -> Iterator[int]:
        for number in range(pieces):
            yield number
            time.sleep(pause)

    begun = time.monotonic()
    with pytest.raises(DeadlinePassed) as caught:
        list(paced(slow, silence=0.2, whole=0.5, monotonic=time.monotonic))
    assert caught.value.seconds == seconds
    assert time.monotonic() - begun < seconds + LATE_S


def test_a_stream_passes_its_pieces_and_its_error_on() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    stream = paced(broken, silence=5, whole=5, monotonic=time.monotonic)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(stream)
    assert list(paced(lambda: [1, 2, 3], silence=5, whole=5, monotonic=time.monotonic)) == [1, 2, 3]


def test_an_http_proxy_that_demands_a_login_is_reported_as_intercepting() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with weird.serving(weird.saying(refusal)) as port:
        proxies = WebProxies({"https_proxy": f"http://{LOOPBACK}:{port}"})
        answer = plane("https://control.test/x", proxies).fetch_config(
            None, correlation_id="c", now=dt.datetime.now(dt.UTC)
        )
        assert isinstance(answer, Intercepted)
        assert (
            "answered for control.test: the proxy does not connect (407 Proxy Authentication Required)" in answer.reason
        )
        source = ZabbixInventory.model_validate({"kind": "zabbix", "url": "https://zabbix.test", "token": "t"})
        with pytest.raises(InventoryUnavailable) as caught, connected(source, web_proxies=proxies):
            raise AssertionError("a session was opened")
        assert caught.value.reason == "zabbix_intercepted"
