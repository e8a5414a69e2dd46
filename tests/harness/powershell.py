"""PowerShell, which runs the scripts for Windows. No registry that this project builds from has it.

So the tests that need one exist only where it is on the PATH: none of them is skipped, and the summary says what was not run.
"""

import shutil

SHELLS = [name for name in ("pwsh", "powershell.exe") if shutil.which(name)]
# A whole host: PowerShell for Windows on Wine, and a stand-in for Docker Desktop in front of a real engine.
_HOST = ("windows-host", "pwsh-windows", "wine", "x86_64-w64-mingw32-gcc")
# Below tests/.
NOT_COLLECTED = (
    *(() if SHELLS else ("unit/windows/test_pasted_line.py", "unit/windows/test_pester.py")),
    *(() if all(map(shutil.which, _HOST)) else ("e2e/test_docker_windows_host.py",)),
)
ABSENT = (
    f"No PowerShell here, so not collected: {', '.join(NOT_COLLECTED)}. The scripts for Windows were parsed, not run."
)
