"""`make demo`: a control plane, a proxy with its token and a handful of simulated terminals, told as a story.

Everything runs as separate processes from this checkout, exactly as an operator would start them; everything is written below
`.demo/` and removed at the end (`--keep` leaves it there). Exit status 0 when every chapter ended as the story says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo.stage import Stage, StageError
from demo.story import tell
from demo.terminals.tree import erase

_REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="The product at work on simulated terminals.")
    parser.add_argument("--keep", action="store_true", help="leave .demo/ (databases, logs, documents) for a look")
    options = parser.parse_args()
    folder = _REPOSITORY / ".demo"
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
        if not options.keep:
            erase(folder)


if __name__ == "__main__":
    sys.exit(main())
