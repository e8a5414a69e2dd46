"""`make demo`: a control plane, a proxy with its token and a handful of simulated terminals, told as a story.

    python -m demo [--keep]                        the story; exit status 0 when every chapter ended as it says
    python -m demo up | down                       the same without the story, running in the background (`demo.background`)
    python -m demo try ACTION [OPTION…]            flageemonitor-run on its terminals; its exit status

Everything runs as separate processes from this checkout, exactly as an operator would start them; everything is written below
`.demo/` (`--folder` names another) and removed at the end (`--keep` leaves the story's there).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo import background
from demo.stage import Stage, StageError
from demo.story import tell
from demo.terminals.tree import erase

_REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="The product at work on simulated terminals.")
    parser.add_argument(
        "--keep", action="store_true", help="leave the story's folder (databases, logs, documents) for a look"
    )
    parser.add_argument("--folder", type=Path, default=_REPOSITORY / ".demo", help="where everything is written")
    parser.add_argument("verb", nargs="?", choices=("up", "down", "try"), help="the demo in the background")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of flageemonitor-run, for try")
    options = parser.parse_args()
    home = options.folder.resolve()
    if options.verb == "up":
        return background.up(home)
    if options.verb == "down":
        return background.down(home)
    if options.verb == "try":
        return background.attempt(home, options.arguments)
    return _story(home / "story", keep=options.keep)


def _story(folder: Path, *, keep: bool) -> int:
    erase(folder)
    try:
        with Stage(folder) as stage:
            return tell(stage)
    except StageError as error:
        print(f"\nThe demo could not go on: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; everything that was started is being taken down.", file=sys.stderr)
        return 130
    finally:
        if not keep:
            erase(folder)


if __name__ == "__main__":
    sys.exit(main())
