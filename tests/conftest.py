import os
import signal

from hypothesis import settings

pytest_plugins = ["tests.harness.fixtures"]

# What the library chooses by itself where it sees a CI's variables: no limit to the time of an example, the same ones always.
settings.load_profile("ci")


def pytest_configure() -> None:
    """Whoever starts the tests in the background may have them ignore signals, and programs that tests start would inherit that:
    a shell cannot even trap what was ignored when it began."""
    os.umask(0o022)  # nor is theirs ours: some programs run as other accounts
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _nothing)  # ours to ignore, and the default again for whatever we start


def _nothing(*_: object) -> None:
    pass
