"""What the devices of an installation are called in the catalog."""

import os
import socket
from typing import Final

from domain.settings import Settings

VISIBLE_GPUS_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"


def machine_name(settings: Settings) -> str:
    """Return the name of the machine whose devices this process uses."""
    return settings.device_machine or socket.gethostname()


def visible_gpus() -> list[str] | None:
    """Return the GPUs that this process was given by `CUDA_VISIBLE_DEVICES`; None: all there are.

    As CUDA reads it: everything from the first negative number on is invisible.
    """
    chosen = os.environ.get(VISIBLE_GPUS_VARIABLE)
    if chosen is None:
        return None
    gpus: list[str] = []
    for part in (part.strip() for part in chosen.split(",")):
        if not part or part.startswith("-"):
            break
        gpus.append(part)
    return gpus


def cpu_id(machine: str) -> str:
    """Return the device that the processors of a machine are together."""
    return f"{machine}/cpu"


def gpu_id(machine: str, gpu: str) -> str:
    """Return the device of one GPU, by its number on the machine or its UUID."""
    return f"{machine}/gpu-{gpu}"


def device_id(machine: str, torch_device: str) -> str:
    """Return the device behind torch's name for it: `cpu`, `cuda`, `cuda:1`."""
    kind, _, number = torch_device.partition(":")
    if kind != "cuda":
        return cpu_id(machine)
    index = int(number or 0)
    gpus = visible_gpus()
    return gpu_id(machine, gpus[index] if gpus and index < len(gpus) else str(index))
