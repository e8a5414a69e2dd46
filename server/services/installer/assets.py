"""The files that an installer is made from: templates and wrappers of this release. Called by bootstrap and health.

They are read at every use: few and small, and an update takes effect without a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import server
from contracts.bounded import MAX_BYTES
from contracts.host_commands import COMMANDS, PLACEHOLDER, host_command
from contracts.text import say
from server.plain_file import read_plain
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.installer.rendering import POWERSHELL, SH, Language, TemplateUnusable, render


@dataclass(frozen=True, slots=True)
class Platform:
    """``template`` is a path below the root of the assets, ``system`` the name of the wrappers' folder."""

    template: str
    system: str
    language: Language


LINUX = Platform("bootstrap/install.sh", "linux", SH)
WINDOWS = Platform("bootstrap/install.ps1", "windows", POWERSHELL)


@dataclass(frozen=True, slots=True)
class Parts:
    """A template, and the text of each wrapper by its name without ``flageemonitor-``. Checked: it can be rendered."""

    template: bytes
    wrappers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class InstallerFiles:
    """``root`` is the folder that holds ``bootstrap/`` and ``wrappers/``; None when there is none."""

    root: Path | None

    def parts(self, platform: Platform) -> Parts:
        """What the platform's installer is made from. Refusal: assets_missing, also for files that cannot be used."""
        if self.root is None:
            raise Refusal(
                table.ASSETS_MISSING,
                says=say("the installer's files are not here"),
                do=say("set FLAGEE_ASSETS to the folder that holds bootstrap/ and wrappers/"),
            )
        try:
            template = read_plain(self.root / platform.template, MAX_BYTES)
            commands = COMMANDS if platform.language.branch else ()  # on Linux the image writes them
            wrappers = {name: self._wrapper(self.root / "wrappers", platform.system, name) for name in commands}
            # Whatever the values will be, it finds what is wrong with the files.
            render(template, {}, wrappers, platform.language)
        except OSError as error:
            raise Refusal(
                table.ASSETS_MISSING, cause=say("{file}: {cause}", file=error.filename, cause=error.strerror)
            ) from None
        except (TemplateUnusable, UnicodeDecodeError) as error:
            raise Refusal(table.ASSETS_MISSING, cause=say("{file}: {cause}", file=self.root, cause=error)) from None
        return Parts(template, wrappers)

    @staticmethod
    def _wrapper(folder: Path, system: str, command: str) -> bytes:
        """As it is installed, but for the runtime's name, which the installer fills in."""

        def read(path: str) -> str:
            return read_plain(folder / path, MAX_BYTES).decode()

        return host_command(read, system, command, PLACEHOLDER).encode()

    def problem(self) -> str | None:
        """What is wrong with them, with the fix; None when all is well."""
        try:
            for platform in (LINUX, WINDOWS):
                self.parts(platform)
        except Refusal as refusal:
            return refusal.message
        return None


def find_root(package: Path = Path(server.__file__).parent) -> Path | None:
    """The nearest folder above the package ``server`` that holds ``bootstrap/``."""
    return next((folder for folder in package.resolve().parents if (folder / "bootstrap").is_dir()), None)
