"""What a worker says about itself in GET /v1/system: versions and sizes, no names of machines."""

import platform
import sys
from typing import Any

import psutil


def worker_facts(device: str) -> dict[str, Any]:
    """Return versions, cores and memory; those of the GPU if torch is loaded and uses one."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "cores": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
    }
    torch = sys.modules.get("torch")  # a worker without torch must not load it for this
    if torch is None:
        return facts
    facts["torch"] = str(torch.__version__)
    if device.startswith("cuda") and torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(torch.device(device))
        facts |= {"gpu": gpu.name, "gpu_memory_bytes": gpu.total_memory}
    return facts
