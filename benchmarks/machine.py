"""On what a benchmark ran: the machine, the libraries that matter, the commit."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_CPU_FACTS: Final = Path("/proc/cpuinfo")


def commit() -> str | None:
    """The commit that is measured, with `-dirty` where the tree differs; None outside git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent,
        )
    except FileNotFoundError:  # git is not installed
        return None
    return found.stdout.strip() or None


def machine_facts(threads: int) -> dict[str, Any]:
    """What a reader needs to judge a figure of speed.

    Args:
        threads: number of torch threads that the benchmark used.
    """
    return {
        "cpu": cpu_name(_CPU_FACTS.read_text()) if _CPU_FACTS.exists() else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "torch_threads": threads,
        "commit": commit(),
        "command": " ".join(["python", *map(without_place, sys.orig_argv[1:])]),
    }


def without_place(argument: str) -> str:
    """An argument as another machine could use it: of an absolute path the last part alone."""
    option, sign, value = argument.rpartition("=")
    return f"{option}{sign}{Path(value).name if value.startswith('/') else value}"


def cpu_name(facts: str) -> str:
    """The first model name in the text of /proc/cpuinfo; "unknown" without one."""
    for line in facts.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"
