"""Log in, run one command, say how it went. The whole proof is that the engine got this far."""

from __future__ import annotations

from typing import get_args

from contracts.text import say
from runtime.domain.action import Action, Decision, Done, Params
from runtime.domain.facts import Facts
from runtime.domain.model import Host, Role


def _decide(facts: Facts, params: Params, host: Host) -> Decision:
    return Done(
        report={"user": facts.user, "hostname": facts.hostname, "kernel": facts.kernel},
        message=say("logged in as {user}", user=facts.user or say("unknown user")),
    )


ACTION = Action(
    name="test_endpoint_connection",
    aliases=("pdv_test_connection", "test_host_connection"),
    version="2.0.0",
    summary=say("Open a connection to a terminal, log in, run one command."),
    effect="read",
    roles=frozenset(get_args(Role)),  # looking is allowed everywhere
    observe="",
    decide=_decide,
)
