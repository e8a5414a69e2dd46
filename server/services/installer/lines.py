"""What to paste on a host to install a proxy: one line, or three commands that save the script, show it and run it.

Called by ``flagee-server install-command``. Nothing but a script of ours is run: an answer that does not begin as one (a page of
something between, a redirect) is not, and the line fails; so it does when nothing comes. An error of the control plane is a
script that says so and fails (:mod:`server.services.installer.error_script`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from contracts.secret import Secret
from contracts.text import say
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.installer.rendering import powershell_quoted, sh_quoted
from server.services.installer.script import Bootstrap

# How the scripts begin. The first is all of a line.
SH_MARK = "#!/bin/sh"
POWERSHELL_MARK = "# FlageeMonitor Proxy"
# Part of a quoted text in both shells: no quotes, dollars, backslashes or backticks.
NOT_A_SCRIPT = say("No installer was received. Nothing was run.")

_SAVED_SH = "flageemonitor-install.sh"
_SAVED_POWERSHELL = "flageemonitor-install.ps1"


@dataclass(frozen=True, slots=True)
class Recipe:
    """``line`` does everything; ``save``, ``read`` and ``run`` do the same in steps. Options go to the end of either."""

    line: str
    save: str
    read: str
    run: str


def linux(bootstrap: Bootstrap, network: str, token: Secret, ca: str | None, not_a_script: str) -> Recipe:
    """``ca``: a path on that host, a private authority for curl and for the installer. ``not_a_script``: NOT_A_SCRIPT in the
    language of who will read it. Refusals: public_url_missing, installer_value_invalid."""
    _check_path(ca)
    url = sh_quoted(f"{bootstrap.address('/api/bootstrap/install.sh')}?rede={network}")
    trust, given = ("", "") if ca is None else (f" --cacert {shlex.quote(ca)}", f" --ca {shlex.quote(ca)}")
    # The token goes to curl on its stdin: its arguments are there for every user of the host to read. No redirect is followed,
    # because curl would take the header along. The body of an error is wanted, so there is no --fail.
    fetch = f"printf '%s\\n' {sh_quoted(_header(token))} | curl -qsS{trust} -K -"
    guard = f'read -r l && [ "$l" = "{SH_MARK}" ] && exec sh -s -- "$@"; echo "{not_a_script}" >&2; exit 1'
    return Recipe(
        line=f"{fetch} {url} | sudo sh -c {sh_quoted(guard)} sh{given}",
        save=f"(umask 077; {fetch} -o {_SAVED_SH} {url})",
        read=f"less {_SAVED_SH}",
        run=f"sudo sh {_SAVED_SH}{given}",
    )


def windows(bootstrap: Bootstrap, network: str, token: Secret, ca: str | None, not_a_script: str) -> Recipe:
    """The same for a host with Windows, to paste into PowerShell 5.1 or 7.

    ``irm`` cannot be told of a private authority, so that curl.exe, which comes with Windows, fetches the script then; the token
    goes through its stdin. Refusals: as above.
    """
    _check_path(ca)
    url = powershell_quoted(f"{bootstrap.address('/api/bootstrap/install.ps1')}?rede={network}")
    if ca is None:
        given = ""
        # An answer with an error status is an exception, and "$_" its body, or the cause where nothing came. Tls12 is added for
        # Windows PowerShell, which may lack it.
        fetch = (
            "[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072; "
            f"$s = try {{ irm -MaximumRedirection 0 -Headers @{{'X-Bot-Token'={powershell_quoted(token.reveal())}}} {url} }} "
            'catch { "$_" }'
        )
    else:
        given = f" -Ca {powershell_quoted(ca)}"
        fetch = (
            f"$s = ({powershell_quoted(_header(token))} | curl.exe -qsS --ssl-no-revoke --cacert {powershell_quoted(ca)} "
            f"-K - {url}) -join [char]10"
        )
    guarded = (
        f'{fetch}; if ("$s" -notlike \'{POWERSHELL_MARK}*\') {{ $global:LASTEXITCODE = 1; throw "{not_a_script} $s" }}'
    )
    saved = f'"$HOME\\{_SAVED_POWERSHELL}"'
    return Recipe(
        line=f"{guarded}; & ([scriptblock]::Create($s)){given}",
        save=f"{guarded}; Set-Content -Encoding ASCII {saved} $s",
        read=f"notepad {saved}",
        run=f"powershell -NoProfile -ExecutionPolicy Bypass -File {saved}{given}",
    )


def _header(token: Secret) -> str:
    return f'header = "X-Bot-Token: {token.reveal()}"'


def _check_path(ca: str | None) -> None:
    if ca is not None and not ca.isprintable():
        says = say("the path of the authority cannot be printed on one line")
        raise Refusal(table.INSTALLER_VALUE_INVALID, says=says, do=say("rename the file"))
