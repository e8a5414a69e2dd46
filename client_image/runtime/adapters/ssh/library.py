"""asyncssh, loaded without its search for liboqs.

asyncssh asks ldconfig, a compiler and a linker for that library, twice, each time it is loaded: four processes and 40 ms of every
run, and a compiler that a proxy has no business to start. Without liboqs asyncssh takes its key exchanges from cryptography.
"""

from __future__ import annotations

import ctypes.util


def _not_found(name: str) -> str | None:
    return None


_find_library = ctypes.util.find_library
try:
    ctypes.util.find_library = _not_found
    import asyncssh
finally:
    ctypes.util.find_library = _find_library

__all__ = ["asyncssh"]
