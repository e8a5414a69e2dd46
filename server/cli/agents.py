"""``flagee-server agents``."""

from __future__ import annotations

import click

from commandline.help import Group
from contracts.text import say
from server.cli.base import working
from server.cli.output import Output, emit_json, emit_rows, output_option, tell

_COLUMNS = ("agent", "client", "network", "hostname", "state", "seen_at", "version", "waiting", "clock_s")


@click.group(cls=Group, invoke_without_command=True)
@click.option("--client", metavar="CLIENT", help="Only of this client.")
@output_option
@click.pass_context
def agents(context: click.Context, client: str | None, output: Output) -> None:
    """Agents: the proxies that enrolled, and how they are.

    \b
    never     enrolled, and has not been heard yet
    online    was heard within two intervals (FLAGEE_HEARTBEAT_INTERVAL)
    late      was silent for two intervals
    offline   was silent for ten
    retired   was taken out of service

    `waiting` is how much it still has to deliver, `clock_s` by how many seconds its clock is ahead.

    \b
    Examples:
      flagee-server agents --client "Mercado Sol"
      flagee-server agents show 0198c0de
    """
    if context.invoked_subcommand is not None:
        return
    with working() as services, services.database.reading() as connection:
        from server.services.agents.listing import list_agents

        rows = list_agents(connection, services.clock(), client)
    emit_rows(rows, _COLUMNS, output)


@agents.command("show")
@click.argument("agent", metavar="AGENT")
@output_option
def agents_show(agent: str, output: Output) -> None:
    """Show one agent, and what it said last. AGENT is its host name, or the beginning of its id.

    \b
    Example:
      flagee-server agents show 0198c0de
    """
    with working() as services, services.database.reading() as connection:
        from server.services.agents.listing import show_agent

        found = show_agent(connection, agent, services.clock())
    if output == "json":
        emit_json({"agent": found.row, "report": found.report})
        return
    emit_rows([found.row], (*_COLUMNS, "enrolment", "enrolled_at"), output)
    for name, value in found.report.items():
        tell(f"{name}: {value}")


@agents.command("retire")
@click.argument("agent", metavar="AGENT")
@output_option
def agents_retire(agent: str, output: Output) -> None:
    """Take an agent out of service: its token ends at once. What it told stays; a new enrolment takes it back.

    \b
    Example:
      flagee-server agents retire 0198c0de
    """
    with working() as services, services.database.writing() as session:
        from server.services.agents.listing import retire

        row = retire(session, agent, services.clock())
    if output == "json":
        emit_json(row)
    else:
        tell(
            say(
                "agent {agent} of {client}/{network} is retired, and its token has ended",
                agent=row.agent,
                client=row.client,
                network=row.network,
            )
        )
