"""Whether the login can become root, the way this terminal does it: already root, sudo, or su (domain.md 2.8)."""

from __future__ import annotations

from contracts.text import say
from runtime.domain.action import Action, Decision, Done, Failed, Params
from runtime.domain.facts import Facts
from runtime.domain.model import Host


def _decide(facts: Facts, params: Params, host: Host) -> Decision:
    report = {"user": facts.user, "uid": facts.uid, "privilege": facts.privilege}
    if facts.uid == 0:
        how = say("root reached through {privilege}", privilege=facts.privilege)
        return Done(report=report, message=say("logs in as root") if facts.privilege == "root" else how)
    text = say("the elevated shell runs as uid {uid}, not as root", uid=str(facts.uid))
    return Failed("not_root", text, report=report)


ACTION = Action(
    name="test_endpoint_privilege",
    aliases=("pdv_test_sudo", "test_host_privilege"),
    version="2.0.0",
    summary=say("Check that the login can become root."),
    effect="read",
    needs_root=True,
    decide=_decide,
)
