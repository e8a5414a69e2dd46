"""The memory that a process may use, as Linux tells it in all its ways, and who goes first when there is none left."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.adapters.memory import VICTIM, go_first, kills, memory_limit
from runtime.services.run_launcher import launch_run

GB = 1 << 30
UNLIMITED_V1 = 9223372036854771712
TREES = {
    "version 2, in a container": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GB}\n"}, GB),
    "version 2, unlimited": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 8 * GB),
    "version 2, a service": (
        {
            "proc/self/cgroup": "0::/system.slice/proxy.service\n",
            "sys/fs/cgroup/system.slice/proxy.service/memory.max": "max\n",
            "sys/fs/cgroup/system.slice/memory.max": f"{2 * GB}\n",
        },
        2 * GB,
    ),
    "version 2, a path from outside": (
        {"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.max": f"{GB}\n"},
        GB,
    ),
    "version 1, in a container": (
        {
            "proc/self/cgroup": "11:cpu,cpuacct:/docker/abc\n9:memory:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GB}\n",
        },
        GB,
    ),
    "version 1, unlimited": (
        {
            "proc/self/cgroup": "9:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{UNLIMITED_V1}\n",
        },
        8 * GB,
    ),
    "version 1, beside others": (
        {
            "proc/self/cgroup": "4:hugetlb,memory:/user\n",
            "sys/fs/cgroup/memory/user/memory.limit_in_bytes": f"{3 * GB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{UNLIMITED_V1}\n",
        },
        3 * GB,
    ),
    "no groups": ({}, 8 * GB),
    "nonsense": ({"proc/self/cgroup": "\n::\nx\n", "sys/fs/cgroup/memory.max": "\n"}, 8 * GB),
}


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": f"MemFree: 1 kB\nMemTotal:  {8 * GB // 1024} kB\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.mark.parametrize("case", TREES)
def test_the_smallest_limit_counts(tmp_path: Path, case: str) -> None:
    files, limit = TREES[case]
    assert memory_limit(tree(tmp_path, files)) == limit


def test_a_machine_without_a_known_memory_size_counts_as_small(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) == GB


def test_the_memory_of_this_machine_is_found() -> None:
    assert 64 << 20 < memory_limit() < 1 << 50


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.events": "low 0\noom 3\noom_kill 2\n"}, 2),
        (
            {
                "proc/self/cgroup": "9:memory:/\n",
                "sys/fs/cgroup/memory/memory.oom_control": "under_oom 0\noom_kill 7\n",
            },
            7,
        ),
        ({"proc/self/cgroup": "9:memory:/\n", "sys/fs/cgroup/memory/memory.oom_control": "under_oom 0\n"}, None),
        ({}, None),
    ],
    ids=["version 2", "version 1", "an old kernel", "none"],
)
def test_the_kernels_kills_are_counted_where_it_counts_them(
    tmp_path: Path, files: dict[str, str], number: int | None
) -> None:
    assert kills(tree(tmp_path, files)) == number


def test_a_process_to_be_killed_first_is_never_marked_as_less_likely_than_before() -> None:
    score = "open('/proc/self/oom_score_adj').read().strip()"
    code = f"from runtime.adapters.memory import go_first; go_first(); print({score}); "
    code += "open('/proc/self/oom_score_adj', 'w').write('900'); go_first(); " + f"print({score})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(VICTIM), "900"]


def test_a_scheduled_run_is_marked_for_the_kernel_from_its_start() -> None:
    def score_of(pid: int) -> str:
        return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()

    async def scene() -> str:
        child = await launch_run(["--version"])  # which never says so itself
        score = score_of(child.pid)
        await child.wait()
        return score

    assert asyncio.run(scene()) == str(VICTIM)


def test_without_the_kernels_setting_nothing_fails(tmp_path: Path) -> None:
    go_first(tmp_path)
