"""What an endpoint requires, and who is asking. Every endpoint has one of the decorators :func:`endpoint` and :func:`public`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from flask import Flask, g, request

from server import current
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.operators.access import Operator, Role
from server.services.operators.admission import operator_of
from server.services.tokens.access import Scope
from server.services.tokens.admission import Admission, admission
from server.wiring import Services

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
_REQUIRES = "requires"


class NotDeclared(Exception):
    """An endpoint does not say what it requires; the text names it."""


@overload
def endpoint(
    requires: Scope,
) -> Callable[[Callable[Concatenate[Admission, Arguments], Answer]], Callable[Arguments, Answer]]: ...


@overload
def endpoint(
    requires: Role,
) -> Callable[[Callable[Concatenate[Operator, Arguments], Answer]], Callable[Arguments, Answer]]: ...


def endpoint(
    requires: Scope | Role,
) -> Callable[[Callable[Concatenate[Any, Arguments], Answer]], Callable[Arguments, Answer]]:
    """The endpoint is for tokens with this scope, or for operators with this role; others are refused before it runs. Written
    below the route.

    The function gets the caller's :class:`Admission`, or the :class:`Operator`, as its first argument.
    """

    def decorate(view: Callable[Concatenate[Any, Arguments], Answer]) -> Callable[Arguments, Answer]:
        @functools.wraps(view)
        def for_who_is_let_in(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
            services = current.services()
            who = operator(services, requires) if isinstance(requires, Role) else authorized(services, requires)
            return view(who, *args, **kwargs)

        setattr(for_who_is_let_in, _REQUIRES, requires)
        return for_who_is_let_in

    return decorate


def public(view: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Everybody may ask: what it answers names no host, path or key, and asking makes no work."""
    setattr(view, _REQUIRES, None)
    return view


def required(view: Callable[..., Any]) -> Scope | Role | None:
    """What the endpoint requires; None for a public one. Raises NotDeclared for a function without a decorator."""
    try:
        found: Scope | Role | None = getattr(view, _REQUIRES)
    except AttributeError:
        raise NotDeclared(f"{view.__module__}.{view.__qualname__} needs @endpoint(…) or @public") from None
    return found


def required_scope(view: Callable[..., Any]) -> Scope:
    """The scope that an endpoint requires. Raises NotDeclared, also for one that is public or for operators."""
    scope = required(view)
    if not isinstance(scope, Scope):
        kind = "public" if scope is None else "for operators"
        raise NotDeclared(f"{view.__module__}.{view.__qualname__} is {kind}, and requires no scope")
    return scope


def check_declared(app: Flask) -> None:
    """Raises NotDeclared where a route does not say what it requires: such an application is not served."""
    for view in app.view_functions.values():
        required(view)


def presented() -> str:
    """The token's text, from ``X-Bot-Token`` or ``Authorization: Bearer``. Refusal when there is not exactly one."""
    bot = request.environ.get("HTTP_X_BOT_TOKEN", "").strip()
    scheme, _, credentials = request.environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    if bot and bearer and bot != bearer:
        raise Refusal(table.TOKEN_AMBIGUOUS)
    if not bot and not bearer:
        raise Refusal(table.TOKEN_MISSING)
    return bot or bearer


def authorized(services: Services, requires: Scope) -> Admission:
    """The owner of the request's token, for the network asked for. Its use is remembered, its owner is put on the log line."""
    now = services.clock()
    text, network = presented(), network_asked_for()
    try:
        admitted = admission(services.rows, text, requires, network, now)
    except Refusal as refusal:
        g.token = refusal.token
        raise
    g.principal = admitted.principal
    services.last_use.note(admitted.principal.token_id, now)
    return admitted


def operator(services: Services, requires: Role) -> Operator:
    """The operator whose token the request has. Its use is remembered, the operator is put on the log line."""
    now = services.clock()
    text = presented()
    try:
        found = operator_of(services.rows, text, requires, now)
    except Refusal as refusal:
        g.token = refusal.token
        raise
    g.operator = found
    services.last_use_of_operators.note(found.token_id, now)
    return found


def network_asked_for() -> str | None:
    """``rede``; None when it is missing or empty, as a proxy sends it that does not know its network yet."""
    values = set(request.args.getlist("rede"))
    if len(values) > 1:
        raise Refusal(table.NETWORK_AMBIGUOUS)
    return (values.pop() or None) if values else None
