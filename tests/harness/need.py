"""What a machine must have for a real part to run: skipped with a reason on a desk, a failure where nothing may be skipped.

Called by every part of the harness before it starts anything, and by tests that need a part of their own.
"""

import os
import shutil
import unittest
from collections.abc import Mapping


class MissingPartError(Exception):
    """A real part is absent although CI=true promised all of them."""


def need(condition: object, what: str, fix: str, *, environ: Mapping[str, str] = os.environ) -> None:
    """Go on when `condition` is true; else skip the test, or fail it with CI=true.

    `what` names the part, `fix` says what to do about it. Raises `unittest.SkipTest` (which pytest counts as a skip)
    or `MissingPartError`.
    """
    if condition:
        return
    reason = f"{what} is missing: {fix}"
    if environ.get("CI") == "true":
        raise MissingPartError(reason)
    raise unittest.SkipTest(reason)


def need_program(name: str, package: str) -> str:
    """Path of the program `name`, from PATH or the folders where Debian keeps what is for root; `package` is the fix."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    need(path, name, f"apt-get install {package}")
    return path or name


def need_root(what: str) -> None:
    """Root, because `what` makes namespaces, mounts or network links."""
    need(os.geteuid() == 0, "root", f"{what} makes namespaces, mounts and links; run the tests as root")
