"""`python -m runtime.health`: the name by which the deploy of an earlier release asks this one. See runtime.container.health."""

from __future__ import annotations

from runtime.container.health import main

if __name__ == "__main__":
    main()
