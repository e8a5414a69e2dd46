"""What answers instead of a server that speaks JSON is told apart by type and shape, and shown by its title alone."""

import pytest

from runtime.adapters import intermediary

SIGN_IN = b"""<!DOCTYPE html>
<html><head><title>Acesso &agrave; rede
 de visitantes</title></head><form><input type="password" name="p"></form>"""

PAGES = {
    "a sign-in page": (
        200,
        "text/html",
        SIGN_IN,
        'a sign-in page titled "Acesso à rede de visitantes" (HTTP 200, text/html)',
    ),
    "a sign-in page that says it is JSON": (
        200,
        "application/json",
        SIGN_IN,
        'a sign-in page titled "Acesso à rede de visitantes" (HTTP 200, application/json)',
    ),
    "a page behind a comment and a byte order mark": (
        200,
        "",
        b"\xef\xbb\xbf \n<!-- made by x --><html><title>Blocked</title>",
        'a web page titled "Blocked" (HTTP 200)',
    ),
    "a proxy's error page": (
        502,
        "text/html; charset=utf-8",
        b"<html><head><title>502 Bad Gateway</title></head><center>nginx</center>",
        'an error page titled "502 Bad Gateway" (HTTP 502, text/html)',
    ),
    "a proxy's login": (407, "", b"", "a proxy that wants a login of its own (HTTP 407)"),
    "a page without text": (200, "text/html", b"", "a web page (HTTP 200, text/html)"),
    "a title with control characters": (
        503,
        "text/html",
        b"<title>\x1b[31mno\xe2\x80\xae way\x00</title>",
        'an error page titled "[31mno way" (HTTP 503, text/html)',
    ),
    "an XML page": (
        403,
        "text/xml",
        b"<?xml version='1.0'?><!DOCTYPE html><html>",
        "an error page (HTTP 403, text/xml)",
    ),
    "JSON": (200, "application/json", b'{"network": "ACME"}', ""),
    "JSON that is called a page": (200, "text/html", b'{"jsonrpc": "2.0"}', ""),
    "a problem": (403, "application/problem+json", b'{"title": "<html>"}', ""),
    "another XML": (200, "text/xml", b"<?xml version='1.0'?><feed/>", ""),
    "nothing": (204, "", b"", ""),
}


@pytest.mark.parametrize(("status", "kind", "body", "what"), PAGES.values(), ids=PAGES)
def test_a_page_is_told_by_what_it_is(status: int, kind: str, body: bytes, what: str) -> None:
    assert intermediary.page(status, kind, body) == what


def test_a_page_of_any_size_is_judged_by_its_beginning() -> None:
    body = b"<html>" + b"<title>" * 200_000
    assert intermediary.page(200, "text/html", body) == "a web page (HTTP 200, text/html)"


SERVICES = {
    "our own": ("application/json", b'{"network": "ACME"}', ""),
    "another": ("application/json", b'{"status": "ok"}', "the JSON of another service"),
    "a list": ("application/json", b"[]", "the JSON of another service"),
    "text": ("text/plain", b"It works!", "text instead of JSON (text/plain)"),
    "our own, cut": ("application/json", b'{"sch', ""),
    "our own, cut, as text": ("text/plain", b' {"sch', ""),
    "brackets without end": ("application/json", b"[" * 100_000, ""),
}


@pytest.mark.parametrize(("kind", "body", "what"), SERVICES.values(), ids=SERVICES)
def test_another_service_is_told_from_a_cut_answer(kind: str, body: bytes, what: str) -> None:
    assert intermediary.other_service(kind, body, (b"network", b"PARAM_")) == what


REDIRECTS = {
    "a portal": ("http://portal.guest.example/?to=x", "a redirect to a sign-in page at portal.guest.example"),
    "a login": ("https://sso.example/auth/login", "a redirect to a sign-in page at sso.example"),
    "the same server": ("https://control.example/login", ""),
    "another server": ("https://www.example/", ""),
    "nowhere": ("http://[::1", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("location", "what"), REDIRECTS.values(), ids=REDIRECTS)
def test_a_redirect_to_a_sign_in_page_is_told_from_a_move(location: str, what: str) -> None:
    assert intermediary.sign_in_redirect("https://control.example/api", location) == what


def test_a_proxy_that_does_not_connect_is_quoted() -> None:
    said = intermediary.refused_tunnel("OSError: Tunnel connection failed: 407 Proxy Authentication\x1b Required")
    assert said == "the proxy does not connect (407 Proxy Authentication Required)"
    assert intermediary.refused_tunnel("Connection refused") == ""
