"""Bounds that gunicorn's parser of requests lacks: the size of a whole head, and the lines between chunks of a body.

Used by :mod:`server.serving.gunicorn_conf`. Gunicorn limits one header and the number of headers, which allows
heads of 800 kB, and reads the line of a chunk's size until the end of memory.
"""

from __future__ import annotations

import io
from typing import Any

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, LimitRequestHeaders, ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

from server.problem import MalformedRequest

HEAD_BYTES = 32_768  # request line, headers and the empty line; what nginx takes as well
_BETWEEN_CHUNKS_BYTES = 8_192  # a chunk's size with its extensions, or the trailers


class BoundedRequest(Request):
    """A request whose head has at most HEAD_BYTES."""

    _line_bytes = 0

    def get_data(self, unreader: Unreader, buf: io.BytesIO, stop: bool = False) -> None:
        if buf.tell() > HEAD_BYTES:
            raise LimitRequestHeaders("the head has no end")
        super().get_data(unreader, buf, stop)

    def parse_request_line(self, line_bytes: bytes) -> None:
        self._line_bytes = len(line_bytes) + len(b"\r\n")
        super().parse_request_line(line_bytes)

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        if self._line_bytes + len(data) + len(b"\r\n\r\n") > HEAD_BYTES:
            raise LimitRequestHeaders("the head is too large")
        return super().parse_headers(data, from_trailer)

    def set_body_reader(self) -> None:
        super().set_body_reader()
        if self.body is not None and isinstance(self.body.reader, ChunkedReader):
            self.body.reader = BoundedChunks(self, self.unreader)


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


def install() -> None:
    """Make every worker of this process parse requests with these bounds."""
    parser: Any = RequestParser
    parser.mesg_class = BoundedRequest
