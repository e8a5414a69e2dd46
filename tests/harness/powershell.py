"""PowerShell, which runs the scripts for Windows. No registry that this project builds from has it.

So the tests that need one exist only where it is on the PATH: none of them is skipped, and the summary says what was not run.
"""

import shutil

SHELLS = [name for name in ("pwsh", "powershell.exe") if shutil.which(name)]
TESTS = ("unit/windows/test_pasted_line.py", "unit/windows/test_pester.py")  # below tests/
ABSENT = f"No PowerShell here, so not collected: {', '.join(TESTS)}. The scripts for Windows were parsed, not run."
