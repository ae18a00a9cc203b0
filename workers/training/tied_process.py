"""Runs a program that ends when the process that started it ends: `… PARENT_PID SIGNAL PROGRAM`.

Between fork and exec a process with threads may do next to nothing; so this is a program of its
own, which asks the kernel and then becomes the program. On Linux alone; elsewhere only the second
line of defence is left, the lock on the run's folder.
"""

import ctypes
import os
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become the program."""
    parent_pid, signal_number, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform.startswith("linux"):
        libc: Any = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the kernel was told
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
