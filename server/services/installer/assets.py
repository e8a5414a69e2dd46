"""The files that an installer is made from: templates, wrappers and translations of this release. Called by bootstrap and health.

They are read at every use: few and small, and an update takes effect without a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import server
from contracts.bounded import MAX_BYTES
from contracts.installers import installer
from contracts.text import say
from server.plain_file import read_plain
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.installer.rendering import POWERSHELL, SH, Language, TemplateUnusable, render


@dataclass(frozen=True, slots=True)
class Platform:
    """``system``: as :mod:`contracts.installers` calls it."""

    system: str
    language: Language


LINUX = Platform("linux", SH)
WINDOWS = Platform("windows", POWERSHELL)


@dataclass(frozen=True, slots=True)
class InstallerFiles:
    """``root`` is the folder that holds ``bootstrap/``, ``wrappers/`` and ``locale/``; None when there is none."""

    root: Path | None

    def template(self, platform: Platform) -> bytes:
        """What the platform's installer is made from, checked. Refusal: assets_missing, also for files that cannot be used."""
        if self.root is None:
            raise Refusal(
                table.ASSETS_MISSING,
                says=say("the installer's files are not here"),
                do=say("set FLAGEE_ASSETS to the folder that holds bootstrap/, wrappers/ and locale/"),
            )
        try:
            template = installer(self._read, platform.system).encode()
            # Whatever the values will be, it finds what is wrong with the files.
            render(template, {}, platform.language)
        except OSError as error:
            raise Refusal(
                table.ASSETS_MISSING, cause=say("{file}: {cause}", file=error.filename, cause=error.strerror)
            ) from None
        except (TemplateUnusable, UnicodeDecodeError) as error:
            raise Refusal(table.ASSETS_MISSING, cause=say("{file}: {cause}", file=self.root, cause=error)) from None
        return template

    def _read(self, path: str) -> str:
        """A file that installers are made of."""
        return read_plain((self.root or Path()) / path, MAX_BYTES).decode()

    def problem(self) -> str | None:
        """What is wrong with them, with the fix; None when all is well."""
        try:
            for platform in (LINUX, WINDOWS):
                self.template(platform)
        except Refusal as refusal:
            return refusal.message
        return None


def find_root(package: Path = Path(server.__file__).parent) -> Path | None:
    """The nearest folder above the package ``server`` that holds ``bootstrap/``."""
    return next((folder for folder in package.resolve().parents if (folder / "bootstrap").is_dir()), None)
