"""The commands of `flageemonitor-run`: what each is called, takes and explains. What it does lives beside this module.

An unknown first word is taken as the name of an action, so `flageemonitor-run diagnose_env --loja 1` needs no verb.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from commandline.help import Command, lang_option
from contracts.text import say
from runtime.cli.program import PROGRAM, Group, Program, guarded, output_option, surroundings

if TYPE_CHECKING:
    from runtime.cli.output import Out
    from runtime.wiring import Installation


class FilteredGroup(Group):
    """A group with the filters as options. They are made when it is parsed: what they are made from takes a moment to load."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from runtime.cli.filters import options

        return [*options(), *super().get_params(ctx)]


class RunCommand(Command):
    """`run`, with the filters, and the options of the first generation that actions declare: accepted or refused by name, never
    ignored."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from runtime.actions.registry import registered
        from runtime.cli.filters import options
        from runtime.cli.options import RETIRED

        flags = {option: one.is_flag for option, (one, _) in registered().legacy_options().items()}
        names = [*flags, *RETIRED]
        own = super().get_params(ctx)
        return [
            *own[:1],  # the action's name
            *options(),
            *own[1:],
            *(click.Option([name], hidden=True, is_flag=flags.get(name, False), default=None) for name in names),
        ]


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="flageemonitor-proxy", prog_name=PROGRAM)
@lang_option
def cli() -> None:
    """Run actions on the terminals of this proxy's network, and see what was decided about each of them.

    \b
    flageemonitor-run diagnose_env --loja 1             read every terminal of store 1
    flageemonitor-run update_endpoint_timezone --loja 1 --dry-run
    flageemonitor-run shutdown_endpoint --host ACME-LOJA001-PDV201
    flageemonitor-run why ACME-LOJA001-PDV201           why was an action run on it, or not?

    `flageemonitor-run actions` lists the actions, `flageemonitor-run run --help` the filters.

    Exit codes: 0 success, 1 some host needs attention, 2 wrong usage, 3 no valid configuration, 4 inventory unavailable, 5 no
    host matched, 6 the job is still running, 130 cancelled.
    """


@cli.command("run", cls=RunCommand, short_help="Run an action (the word `run` may be left out).")
@click.argument("action")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="K=V",
    help="Parameter of the action; lists and maps as JSON, secrets as @FILE or @- (stdin).",
)
@click.option("--compat-mode", metavar="MODE", help="off, warn or enforce; may tighten the configured mode.")
@click.option("--yes", is_flag=True, help="Confirm the hosts without being asked; needed in a pipe.")
@click.option(
    "--reason", "purpose", metavar="TEXT", help="Why you run it; it is recorded, and `runs RUN_ID` and `why` show it."
)
@click.option("--dry-run", is_flag=True, help="Read and decide, change nothing: shows the plan of the first stage.")
@output_option
@click.option("--debug", is_flag=True, help="More messages on stderr.")
@click.option("--job", "job_id", hidden=True)
@click.option("--planned", hidden=True)
@click.option("--run-id", hidden=True)
@click.option("--correlation-id", hidden=True)
@click.pass_context
def run_action(context: click.Context, /, **values: Any) -> None:
    """Run ACTION on the hosts that match every given filter.

    ACTION is a canonical name, a first-generation name or a provider's own; see `flageemonitor-run actions`. Every considered
    host gets one outcome with a reason. Actions that change or disrupt (power off, remove) need explicit targets or --all.

    Before an action that disrupts, or that changes more than one store, you type the number of hosts; in a pipe, add --yes. A
    value that matches no host stops the run before any host is contacted (exit code 5).
    """

    with surroundings(values["output"]) as (installation, out):
        from runtime.adapters.memory import go_first

        go_first()  # before what takes memory is loaded
        from runtime.cli import options as arguments
        from runtime.cli.parts import run_parts
        from runtime.cli.run_command import Scheduled, run

        if values["debug"]:
            from runtime.logs import configure

            configure(installation.settings.log_format, debug=True, stream=sys.stderr)
        request = arguments.request(values, installation.known)
        scheduled = None
        if values["job_id"]:
            scheduled = Scheduled(values["job_id"], arguments.instant(values["planned"], installation.clock.now()))
        code = run(run_parts(installation), request, out, scheduled, yes=values["yes"])
    sys.exit(code)


@cli.command("actions", short_help="List every action, its names and effect.")
@output_option
def list_actions(output: str | None) -> None:
    """Every action: its names, its effect, where it may run, and whether this version has it."""
    from runtime.cli.catalogue import show_actions

    guarded(output, lambda installation, out: show_actions(installation.known, out), reading=True)


@cli.command(short_help="What an action would do, for each provider.")
@click.argument("action")
@click.option("--provider", metavar="ID", help="Only this provider.")
@output_option
def explain(action: str, provider: str | None, output: str | None) -> None:
    """What ACTION would do for each provider, side by side: names, parameters, gates, and the script that it reads with."""
    from runtime.cli.catalogue import show_explanation

    guarded(output, lambda i, out: show_explanation(i.known, i.document().config, action, provider, out), reading=True)


@cli.command(short_help="Why an action was run on a host, or not.")
@click.argument("host")
@click.option("--last", default=5, type=click.IntRange(1, 100), show_default=True, help="How many runs to show.")
@output_option
def why(host: str, last: int, output: str | None) -> None:
    """Why the last runs did or did not act on HOST, gate by gate.

    HOST is a name, a visible name, an address, or the end of a name that only one host has: PDV201, LOJA001-PDV201.
    """
    from runtime.cli.history import show_why

    guarded(output, lambda i, out: show_why(i.state, host, last, out), reading=True)


@cli.command(short_help="List the last runs, or one run with all its hosts.")
@click.argument("run_id", required=False)
@click.option("--last", default=20, type=click.IntRange(1, 1000), show_default=True, help="How many runs to list.")
@output_option
def runs(run_id: str | None, last: int, output: str | None) -> None:
    """List the last runs, or show one run with all its hosts.

    RUN_ID is the beginning of an id that only one run has, or `last`.
    """
    from runtime.cli.history import show_run, show_runs

    guarded(
        output, lambda i, out: show_run(i.state, run_id, out) if run_id else show_runs(i.state, last, out), reading=True
    )


@cli.command(short_help="Stop a run.")
@click.argument("run_id")
@output_option
def cancel(run_id: str, output: str | None) -> None:
    """Stop a run. No further host is started; hosts at work get the grace time; what is cut after that is `unknown`.

    RUN_ID is the beginning of an id that only one run has, or `last` for the last run that is still running.
    """
    from runtime.cli.actor import actor
    from runtime.cli.history import cancel_run

    # Neither a full disk nor a damaged database may keep a run from being stopped.
    guarded(output, lambda i, out: cancel_run(i.state_or_stand_in, run_id, actor(os.environ), out), reading=True)


@cli.group(cls=FilteredGroup, invoke_without_command=True, short_help="List the hosts of the inventory.")
@output_option
@click.pass_context
def hosts(context: click.Context, /, output: str | None, **values: Any) -> None:
    """List the hosts of the network as the inventory has them, with the rollout's decision for each."""
    if context.invoked_subcommand is None:
        from runtime.cli.filters import selector
        from runtime.cli.inventory import show_hosts
        from runtime.cli.parts import hosts_parts

        guarded(
            output, lambda i, out: show_hosts(hosts_parts(i), values["network"], selector(values), out), reading=True
        )


@hosts.command(short_help="Forget a pinned key after a reinstallation.")
@click.argument("host", required=False)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Confirm that all pinned keys were lost, so that new keys are pinned again.",
)
@output_option
@click.pass_context
def rekey(context: click.Context, /, host: str | None, everything: bool, output: str | None) -> None:
    """Forget HOST's pinned key after it was reinstalled; the next login pins the key that the host then shows."""
    from runtime.cli.actor import actor
    from runtime.cli.inventory import confirm_lost_keys, named_host, rekey_host

    _no_filters(context, say("rekey takes one HOST by its exact name, no filters"))
    if host and everything:
        text = say("--all is about the keys of every host, HOST about those of {host}: give one of them", host=host)
        raise click.UsageError(text)

    def work(installation: Installation, out: Out) -> int:
        if everything:
            return confirm_lost_keys(installation.state, out)
        name, network = named_host(host), installation.document().config.network
        return rekey_host(network, installation.state, installation.clock.now(), name, actor(os.environ), out)

    guarded(output, work)


@hosts.command(name="settle", short_help="Accept that cloned hosts share a host key.")
@click.option(
    "--key",
    required=True,
    metavar="FINGERPRINT",
    help="The key, as doctor and hosts show it; a beginning that only one key has is enough.",
)
@click.option("--undo", is_flag=True, help="Take the acceptance back.")
@output_option
@click.pass_context
def settle_hosts(context: click.Context, /, key: str, undo: bool, output: str | None) -> None:
    """Accept for this network that hosts cloned from one image share the host key FINGERPRINT.

    A host key proves which machine answers, but not when several hosts have the same one. Until it is accepted, an action that
    changes such a host is blocked (host_identity_unclear) unless the machine's host name, its machine id and the terminal number
    in the settings of its point of sale fit exactly one of these hosts. Reads are never blocked.

    After it is accepted, the shared key alone blocks nothing. A machine that identifies itself as another terminal of the
    inventory is still blocked; a host name that three or more of the hosts report is treated as the image's own. Who accepted it
    and when is recorded; doctor and hosts show it. For a key that only one host has, the identity that its machine reports is
    accepted.

    \b
    flageemonitor-run doctor                            which keys are shared, and by which hosts
    flageemonitor-run hosts settle --key SHA256:WVK4AA4pxcRI…
    flageemonitor-run hosts settle --undo --key SHA256:WVK4AA4pxcRI…

    Better than accepting: remove the keys from the image (/etc/ssh/ssh_host_*), give each terminal its own, then hosts rekey.
    """
    from runtime.cli.actor import actor
    from runtime.cli.identity import settle_key

    _no_filters(context, say("settle takes --key, no filters"))
    guarded(
        output,
        lambda i, out: settle_key(
            i.document().config.network, i.state, i.clock.now(), key, undo=undo, by=actor(os.environ), out=out
        ),
    )


def _no_filters(context: click.Context, what: str) -> None:
    """The filters of `hosts` mean nothing to its commands, and what means nothing is refused."""
    group, unsaid = context.parent, click.core.ParameterSource.DEFAULT
    if group is None:
        return
    given = [
        one
        for one in group.command.get_params(group)
        if one.name != "lang" and group.get_parameter_source(one.name or "") not in (None, unsaid)
    ]
    if given:
        options = ", ".join(one.opts[0] for one in given)
        raise click.UsageError(say("{problem} (given: {options})", problem=what, options=options))


@cli.command(short_help="What waits to be delivered to the control plane.")
@click.option("--dead", is_flag=True, help="List what the control plane refused for good, and why.")
@click.option("--retry", metavar="ID", help="Send a refused one again: the beginning of its id, or `all`.")
@click.option("--drain", is_flag=True, help="Deliver now, until nothing is left or the control plane takes nothing.")
@output_option
def outbox(dead: bool, retry: str | None, drain: bool, output: str | None) -> None:
    """Show what waits to be delivered to the control plane, by kind, and whether it is taken.

    The daemon delivers by itself. Exit code 1: the control plane takes nothing, or has refused something.

    \b
    flageemonitor-run outbox --dead         what was refused, and why
    flageemonitor-run outbox --retry all    send all of that again
    flageemonitor-run outbox --drain        deliver now
    """
    from runtime.cli import outbox as commands

    if dead + drain + (retry is not None) > 1:
        raise click.UsageError(say("give one of --dead, --retry and --drain"))
    if retry is not None:
        guarded(output, lambda i, out: commands.retry_dead(i.state, retry, out))
    elif drain:
        guarded(output, lambda i, out: commands.drain_now(i.state, lambda: i.plane, i.clock, out))
    else:
        show = commands.show_dead if dead else commands.show_outbox
        guarded(output, lambda i, out: show(i.state, out), reading=True)


@cli.group(cls=Group, short_help="The network's configuration.")
@lang_option
def config() -> None:
    """The network's configuration as this proxy has it."""


@config.command("check", short_help="Read it as a run would, and report what is wrong.")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@output_option
def config_check(file: str | None, output: str | None) -> None:
    """Read the stored configuration as a run would, and report what is wrong: values, jobs, parameters, providers, ignored keys.

    FILE is checked as strictly as the control plane checks a new document: an unknown key is an error.
    """
    from runtime.cli.configuration import check
    from runtime.cli.parts import crowds

    guarded(output, lambda i, out: check(i.store, i.known, i.clock, crowds(i), file, out), reading=True)


@config.command("refresh", short_help="Fetch it from the control plane now.")
@output_option
def config_refresh(output: str | None) -> None:
    """Fetch the configuration from the control plane now; if that fails, the last valid one stays in force."""
    from runtime.cli.configuration import refresh_now

    guarded(
        output,
        lambda i, out: refresh_now(i.store, i.plane, i.clock, lambda: i.state, lambda: i.clock_judge, out),
    )


@cli.command(short_help="Show what will be started, and when.")
@click.option(
    "--next", "span", default="24h", show_default=True, metavar="SPAN", help="How far to look ahead: 90m, 24h, 7d."
)
@click.option(
    "--explain", "explained", is_flag=True, help="For each run: how many hosts would run, and why the others would not."
)
@output_option
def schedule(span: str, explained: bool, output: str | None) -> None:
    """Show what the schedule will start, in the network's time zone, or with --utc in UTC.

    With --explain, every run is compared with the inventory and the gates at its planned time: freezes, windows, rollout, lists,
    roles. No terminal is contacted, so what only a terminal can tell stays open.
    """
    from runtime.cli.parts import schedule_parts
    from runtime.cli.schedule import show_schedule

    guarded(output, lambda i, out: show_schedule(schedule_parts(i), span, explained, out), reading=True)


@cli.command(short_help="Check everything that a run needs.")
@output_option
def doctor(output: str | None) -> None:
    """Check everything that a run needs, and show what to do about each problem."""
    from runtime.cli.doctor import examine
    from runtime.cli.parts import looks

    guarded(output, lambda i, out: examine(looks(i), out), reading=True)
