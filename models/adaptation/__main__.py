"""`python -m models.adaptation RUN_FOLDER`: one training run, alone or under `torchrun`.

Exit status: 0 done (`result.json`), 75 stopped by SIGTERM after a checkpoint, 65 what another try
cannot mend (`error.json`), 74 the disk is full. Anything else: died, may be started again, and goes
on from its newest checkpoint.
"""

import argparse
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from models.adaptation.runs import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m models.adaptation", description=__doc__)
    parser.add_argument("run_folder", type=Path)
    folder = parser.parse_args().run_folder
    stop = _StopFlag()
    device = _device()
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if together:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=10))
    try:
        return Run(folder, device, stop.is_set).run()
    finally:
        if together:
            dist.destroy_process_group()


class _StopFlag:
    """Set by SIGTERM and SIGINT; the step that runs is ended first."""

    def __init__(self) -> None:
        self._set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def is_set(self) -> bool:
        return self._set

    def _on_signal(self, *_: object) -> None:
        self._set = True


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


if __name__ == "__main__":
    sys.exit(main())
