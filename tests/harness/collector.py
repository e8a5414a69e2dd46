"""OpenTelemetry's collector: its official core with the OTLP receiver and the exporter that prints, compiled from source.

Called by the tests in `tests/collector`. The modules come through the Go module proxy, and are checked against `go.sum`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness import process
from tests.harness.cache import cached
from tests.harness.newer_engine import compiler
from tests.harness.ports import accepts, free_port

_SOURCE = Path(__file__).parents[1] / "collector" / "program"
_FILES = ("main.go", "go.mod", "go.sum")
_CONFIG = """\
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [debug]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
"""


def program() -> Path:
    """Built now (about three minutes of processor time), or found from an earlier run."""
    recipe = {name: (_SOURCE / name).read_text(encoding="utf-8") for name in _FILES}
    return cached("collector", recipe, _build) / "collector"


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, process.Child]]:
    """Its address, and the process, whose log has what it got."""
    port = free_port()
    argv: list[str | Path] = [program(), "--config", f"yaml:{_CONFIG.format(port=port)}"]
    with process.running(argv, name="collector", folder=folder, ready=lambda: accepts("127.0.0.1", port)) as child:
        yield f"http://127.0.0.1:{port}", child


def _build(folder: Path) -> None:
    go = compiler()
    source = folder / "source"
    shutil.copytree(_SOURCE, source)
    target = ("-trimpath", "-ldflags", "-s -w", "-o", str(folder / "collector"), ".")
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -mod=mod", "CGO_ENABLED": "0"}
    done = subprocess.run(
        ["nice", "-n", "10", str(go), "build", *target], cwd=source, capture_output=True, check=False, env=environ
    )
    if done.returncode:
        raise RuntimeError(f"go build failed: {done.stderr[-3000:].decode(errors='replace')}")
