"""Which device a worker computes on, and with how many threads."""

import gc
import os

import torch

from domain.settings import Settings


def resolve_device(wanted: str) -> str:
    """Return "cpu", "cuda" or "cuda:N"; "auto" takes a GPU if there is one.

    Raises:
        RuntimeError: a GPU was asked for and there is none.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(
            f"SELVAGE_DEVICE={wanted}, but torch sees no GPU. Install the CUDA build of torch and "
            "check the driver with nvidia-smi, or set SELVAGE_DEVICE=cpu."
        )
    return wanted


def set_threads(settings: Settings) -> None:
    """Give torch its share of the cores; the bytes of a label depend on this number.

    On a GPU, too, the same image shall give the same label, and float32 mean float32.
    """
    threads = settings.threads or max(1, (os.cpu_count() or 1) // max(1, settings.workers))
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # cuBLAS reads it when it starts; without it, its sums may come in another order each time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # cuDNN would round the inputs of convolutions to 10 bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False


def free_device_memory() -> None:
    """Give back what no tensor uses any more."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
