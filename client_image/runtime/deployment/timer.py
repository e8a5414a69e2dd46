"""The timer that calls `<runtime>-update-image --repair` every five minutes: systemd's units, or a file of cron's. Pure.

Who runs systemd or cron is the host: the installer says which, mounts its folder, and calls systemctl.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from runtime.deployment.names import Names
from runtime.deployment.request import Timer

_BIN = "/usr/local/bin"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def timer_files(timer: Timer, names: Names, host: str = "") -> Mapping[str, str]:
    """Name and content of each file in the folder of the host's timer; empty where it has none. ``host``: its name."""
    command = f"{_BIN}/{names.wrapper('update-image')} --repair"
    about = f"FlageeMonitor Proxy {names.runtime}: repair its containers"
    # Not every host at the same minute.
    minutes = f"{crc32(f'{host}/{names.runtime}'.encode()) % 5}-59/5 * * * *"
    match timer:
        case "systemd":
            unit = names.wrapper("repair")
            return {f"{unit}.service": _service(about, command), f"{unit}.timer": _timer(about)}
        case "cron":
            line = f"{minutes} root {command} >/dev/null 2>&1"
            return {cron_file(names): f"# {about}\nPATH={_PATH}\n{line}\n"}
        case "dcron":  # knows neither a user's column nor lines of the environment
            line = f"{minutes} PATH={_PATH} {command} >/dev/null 2>&1"
            return {cron_file(names): f"# {about}\n{line}\n"}
        case "none":
            return {}


def timer_folder(timer: Timer) -> str:
    """Where the host keeps these files, for messages."""
    return "/etc/systemd/system" if timer == "systemd" else "/etc/cron.d"


def cron_file(names: Names) -> str:
    """Cron passes over names with a dot. No name of a runtime has a capital letter, so no two of them share a file."""
    return names.wrapper("repair").replace(".", "DOT")


def _service(about: str, command: str) -> str:
    return f"""[Unit]
Description={about}
After=docker.service network-online.target
ConditionPathExists={command.partition(" ")[0]}

[Service]
Type=oneshot
ExecStart={command}
# 6: another update is at work; 75: runs are. The next call finds them ended.
SuccessExitStatus=6 75
TimeoutStartSec=1h
Nice=5
"""


def _timer(about: str) -> str:
    return f"""[Unit]
Description={about}, every five minutes

[Timer]
OnBootSec=5min
OnUnitActiveSec=5min
RandomizedDelaySec=30s

[Install]
WantedBy=timers.target
"""
