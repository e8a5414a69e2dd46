"""Where the runtime's files are on a host with Windows, as the engine knows them. Called by runtime.deploy.

There the engine lives in a virtual machine, which has a name of its own for a folder of Windows, and a path with a drive letter
means nothing to it. The wrapper gave that path to the docker command, which translated it; so the engine is asked what the
folders are that this very container has mounted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.deployment.engine import Engine
from runtime.deployment.names import Names
from runtime.deployment.specification import Sources


def seen_by_engine(engine: Engine, names: Names, sources: Sources, etc: Path) -> Sources:
    """``sources`` with configuration and credentials below what is mounted at ``etc`` here; as given where that is not known.

    Raises DeployError.
    """
    own = engine.container(names.deploy)
    mounts = own.raw.get("Mounts") if own else None
    for mount in mounts if isinstance(mounts, list) else []:
        if isinstance(mount, Mapping) and mount.get("Destination") == str(etc) and mount.get("Type") == "bind":
            return _below(mount, sources, etc)
    return sources


def _below(mount: Mapping[str, Any], sources: Sources, etc: Path) -> Sources:
    folder = str(mount.get("Source") or "").rstrip("/\\")
    if not folder:
        return sources
    between = "\\" if re.match(r"[A-Za-z]:", folder) or "\\" in folder else "/"
    credentials = f"{folder}{between}docker" if (etc / "docker" / "config.json").is_file() else ""
    return replace(sources, config=f"{folder}{between}config", credentials=credentials)
