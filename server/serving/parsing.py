"""What gunicorn's parser of requests lacks: nginx's rules of HTTP, the size of a whole head, and that of lines between chunks.

Used by :mod:`server.serving.gunicorn_conf`. Gunicorn limits one header and the number of headers, which allows
heads of 800 kB, and reads the line of a chunk's size until the end of memory.
"""

from __future__ import annotations

import io
import re
from typing import Any
from urllib.parse import unquote

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

from server.reasons.problem import MalformedRequest

HEAD_BYTES = 32_768  # request line, headers and the empty line; nginx.conf has the same number
HEADERS = 100
ADDRESS = "X-FLAGEE-ADDRESS"
_OURS = (ADDRESS, "X-FLAGEE-SCHEME", "X-CORRELATION-ID")  # set by nginx: they do not count against the caller
_OUR_BYTES = 1_024
_HEADERS = "headers_read"
_BAD_TARGET = re.compile(rb"[\x00-\x1f\x7f]|^[^?]*%(?:00|(?![0-9A-Fa-f]{2}))")
_TARGET = re.compile("/|https?://", re.IGNORECASE)
_HOST = re.compile(r"[!-.0-~]+")
_BETWEEN_CHUNKS_BYTES = 8_192  # a chunk's size with its extensions, or the trailers


class TooManyHeaders(LimitRequestHeaders):
    """More than HEADERS."""


class BoundedRequest(Request):
    """A request whose head has at most HEAD_BYTES and HEADERS, and is refused where nginx refuses it.

    :func:`headers_of` has the headers of a refused one, if they were read that far.
    """

    behind_nginx = False
    _line_bytes = 0
    _lines: tuple[bytes, ...] = ()

    def __init__(self, *arguments: Any) -> None:
        try:
            super().__init__(*arguments)
            self._check_host()
        except ParseException as error:
            setattr(error, _HEADERS, _named(self._lines))
            raise

    def get_data(self, unreader: Unreader, buf: io.BytesIO, stop: bool = False) -> None:
        if buf.tell() > self._head_bytes():
            raise LimitRequestHeaders("the head has no end")
        super().get_data(unreader, buf, stop)

    def parse_request_line(self, line_bytes: bytes) -> None:
        self._line_bytes = len(line_bytes) + len(b"\r\n")
        if _BAD_TARGET.search(line_bytes):
            raise InvalidRequestLine("")
        super().parse_request_line(line_bytes)
        if not _TARGET.match(self.uri or "") or _leaves_the_root(self.path or ""):
            raise InvalidRequestLine("")

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        self._lines = tuple(data.split(b"\r\n"))
        if self._line_bytes + len(data) + len(b"\r\n\r\n") > self._head_bytes():
            raise LimitRequestHeaders("the head is too large")
        if sum(line.partition(b":")[0].decode("latin-1").upper() not in _OURS for line in self._lines) > HEADERS:
            raise TooManyHeaders("too many headers")
        return super().parse_headers(data, from_trailer)

    def set_body_reader(self) -> None:
        for name, value in self.headers:
            if name == "TRANSFER-ENCODING" and value.lower() != "chunked":
                raise UnsupportedTransferCoding(value)
        super().set_body_reader()
        if self.body is not None and isinstance(self.body.reader, ChunkedReader):
            self.body.reader = BoundedChunks(self, self.unreader)

    def _check_host(self) -> None:
        hosts = [value for name, value in self.headers if name == "HOST"]
        one_is_needed = self.version != (1, 0)
        if len(hosts) > 1 or (one_is_needed and not hosts) or not all(map(_HOST.fullmatch, hosts)):
            raise InvalidHeader("HOST")

    def _head_bytes(self) -> int:
        """Behind nginx, which has measured what the caller sent, it holds nginx's headers too."""
        return HEAD_BYTES + (_OUR_BYTES if self.behind_nginx else 0)


def _leaves_the_root(path: str) -> bool:
    depth = 0
    for part in unquote(path).split("/"):
        depth += (part not in ("", ".", "..")) - (part == "..")
        if depth < 0:
            return True
    return False


def headers_of(error: BaseException) -> dict[str, str]:
    """Headers of the request that could not be read, by their names in capitals."""
    headers: dict[str, str] = getattr(error, _HEADERS, {})
    return headers


def _named(lines: tuple[bytes, ...]) -> dict[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.upper(): value.strip(" \t") for name, _, value in pairs}


class BoundedChunks(ChunkedReader):
    """A body in chunks. Whatever is wrong with one is MalformedRequest, and the connection is closed after the answer: where the
    body ends is not known, so nothing behind it may be taken for a request."""

    _malformed = False

    def read(self, size: int) -> bytes:
        if self._malformed:
            raise MalformedRequest
        try:
            return super().read(size)
        except (InvalidChunkSize, ChunkMissingTerminator, ParseException):
            self._malformed = True
            self.req.force_close()
            raise MalformedRequest from None

    def get_data(self, unreader: Unreader, buf: io.BytesIO) -> None:
        if buf.tell() > _BETWEEN_CHUNKS_BYTES:
            raise InvalidChunkSize(b"")
        super().get_data(unreader, buf)


def install(*, behind_nginx: bool) -> None:
    """Make every worker of this process parse requests with these bounds."""
    BoundedRequest.behind_nginx = behind_nginx
    parser: Any = RequestParser
    parser.mesg_class = BoundedRequest
