"""What `server/serving/` uses of gunicorn beyond its settings. A failure means that gunicorn has changed: read its new code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from gunicorn import arbiter, config, glogging, sock, util
from gunicorn.http import RequestParser, errors
from gunicorn.http.message import Request
from gunicorn.workers import base, base_async, ggevent

PARAMETERS: dict[Callable[..., Any], list[str]] = {
    base_async.AsyncWorker.handle: ["self", "listener", "client", "addr"],
    ggevent.GeventWorker.handle: ["self", "listener", "client", "addr"],
    ggevent.GeventWorker.handle_request: ["self", "listener_name", "req", "sock", "addr"],
    ggevent.GeventWorker.notify: ["self"],
    base.Worker.handle_usr1: ["self", "sig", "frame"],
    base.Worker.handle_error: ["self", "req", "client", "addr", "exc"],
    RequestParser.__init__: ["self", "cfg", "source", "source_addr"],
    Request.__init__: ["self", "cfg", "unreader", "peer_addr", "req_number"],
    Request.get_data: ["self", "unreader", "buf", "stop"],
    Request.parse_request_line: ["self", "line_bytes"],
    Request.parse_headers: ["self", "data", "from_trailer"],
    Request.set_body_reader: ["self"],
    glogging.Logger.error: ["self", "msg", "args", "kwargs"],
    util.close: ["sock"],
}


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda function: function.__qualname__)
def test_what_is_overridden_or_called_takes_the_same_arguments(function: Callable[..., Any]) -> None:
    assert list(inspect.signature(function).parameters) == PARAMETERS[function]


def asked_of(function: Callable[..., Any], name: str) -> set[str]:
    """The attributes of its variable `name` that a function uses."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def test_a_connection_is_handled_by_the_method_that_is_overridden() -> None:
    source = inspect.getsource(ggevent.GeventWorker.run)
    assert "partial(self.handle, s)" in source
    assert "Pool(self.worker_connections)" in source
    assert {"notify", "alive", "worker_connections"} <= asked_of(ggevent.GeventWorker.run, "self")


def test_patching_a_worker_does_what_ours_leaves_to_the_start_of_the_process_and_wraps_the_sockets() -> None:
    source = inspect.getsource(ggevent.GeventWorker.patch)
    assert "monkey.patch_all()" in source
    assert "socket.socket(s.FAMILY, socket.SOCK_STREAM," in source
    assert source.count("self.") == 2
    assert "self.patch()" in inspect.getsource(ggevent.GeventWorker.init_process)
    assert "hub.reinit()" in inspect.getsource(ggevent.GeventWorker.init_process)


def test_the_signal_by_which_streams_are_ended_is_handed_on_to_workers_and_means_log_files_otherwise() -> None:
    """Our logger has no files."""
    assert "self.kill_workers(signal.SIGUSR1)" in inspect.getsource(arbiter.Arbiter.handle_usr1)
    assert "self.log.reopen_files()" in inspect.getsource(base.Worker.handle_usr1)


def test_the_loop_over_requests_has_the_ends_that_ours_has() -> None:
    """Ours replaces it; what it does besides would be missing there."""
    source = inspect.getsource(base_async.AsyncWorker.handle)
    for end in ("NoMoreData", "StopIteration", "ssl.SSLError", "OSError", "BaseException", "util.close(client)"):
        assert end in source
    assert asked_of(base_async.AsyncWorker.handle, "self") == {
        "cfg",
        "timeout_ctx",
        "handle_request",
        "handle_error",
        "log",
    }


def test_a_request_that_ends_the_connection_raises_stop_iteration() -> None:
    assert "raise StopIteration()" in inspect.getsource(base_async.AsyncWorker.handle_request)


def test_the_errors_of_the_parser_have_their_kinds() -> None:
    assert issubclass(errors.LimitRequestLine, errors.ParseException)
    assert issubclass(errors.LimitRequestHeaders, errors.ParseException)
    assert issubclass(errors.UnsupportedTransferCoding, errors.ParseException)
    assert not issubclass(errors.NoMoreData, errors.ParseException)


def test_an_inherited_socket_is_named_by_its_descriptor_and_its_file_is_removed_at_the_end() -> None:
    """The supervisor hands over ``fd://N``, and makes the file again that an ended gunicorn has removed."""
    configuration = config.Config()
    configuration.set("bind", "fd://7")
    assert configuration.address == [7]
    assert "os.unlink" in inspect.getsource(sock.close_sockets)


def test_the_settings_by_which_gunicorn_believes_a_unix_socket_are_there() -> None:
    assert {"forwarded_allow_ips", "secure_scheme_headers", "forwarder_headers"} <= set(config.Config().settings)


def test_the_line_that_is_no_error_in_a_reload_has_its_words() -> None:
    assert '"Worker (pid:{}) was sent {}!"' in inspect.getsource(arbiter.Arbiter.reap_workers)


def test_workers_are_forked_after_the_application_was_loaded() -> None:
    assert "preload_app" in inspect.getsource(arbiter.Arbiter.setup)
    assert {"post_worker_init", "worker_exit"} <= set(config.Config().settings)
