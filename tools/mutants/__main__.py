"""``python -m tools.mutants [--again] NAME…``: which small changes of a module its tests do not notice.

Ends with 1 when fewer than 95 % of them are noticed.

``--again`` tries only those that the last call did not see noticed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.mutants.changes import Change
from tools.mutants.modules import MODULES
from tools.mutants.trials import Trial, as_json, from_json, tried

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / ".cache" / "mutants"
SCORE = 95.0  # per cent that must be noticed


def main(names: list[str]) -> int:
    again, names = "--again" in names, [name for name in names if name != "--again"]
    unknown = [name for name in names if name not in MODULES]
    if unknown or not names:
        sys.stderr.write(f"Name modules out of: {', '.join(MODULES)}\n")
        return 2
    if len(names) > 1:  # a process each: what one module's tests import does not disturb the next
        command = [sys.executable, "-m", "tools.mutants", *(["--again"] if again else [])]
        return max([subprocess.run([*command, name], check=False).returncode for name in names])
    return _one(names[0], again)


def _one(name: str, again: bool) -> int:
    os.environ["CI"] = "true"  # the same examples of properties for every change
    results = RESULTS / f"{name}.json"
    before = from_json(results.read_text()) if again else []
    missed = {(trial.before, trial.after) for trial in before if not trial.noticed}

    def concerns(change: Change) -> bool:
        return not again or (change.before, change.after) in missed

    path, tests = REPOSITORY / MODULES[name][0], MODULES[name][1:]
    trials = tried(path, _module(MODULES[name][0]), tests, _show, concerns)
    trials += [trial for trial in before if trial.noticed and (trial.before, trial.after) not in missed]
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(as_json(sorted(trials, key=lambda trial: trial.line)))
    found = sum(trial.noticed for trial in trials)
    score = 100 * found / len(trials)
    sys.stdout.write(f"{name}: {found} of {len(trials)} changes noticed, {score:.1f} %\n")
    return int(score < SCORE)


def _module(path: str) -> str:
    return path.removeprefix("client_image/").removesuffix(".py").replace("/", ".")


def _show(trial: Trial) -> None:
    if not trial.noticed:
        sys.stdout.write(f"{trial.line}: {trial.before}  ->  {trial.after}  ({trial.tests} tests)\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
