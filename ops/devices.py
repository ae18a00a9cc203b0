"""Which graphics cards there are, without importing torch."""

import os
import shutil
import subprocess


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs that this process may use, as ids for `CUDA_VISIBLE_DEVICES`.

    That variable wins where it is set; else `nvidia-smi -L` is asked.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        # As CUDA reads it: everything from the first negative number on is invisible.
        ids: list[str] = []
        for part in (part.strip() for part in chosen.split(",")):
            if not part or part.startswith("-"):
                break
            ids.append(part)
        return ids
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=20, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return []
    return [str(i) for i, _ in enumerate(_gpu_lines(answer.stdout))]


def choose_gpus(wanted: str) -> list[str]:
    """Return the GPUs that `--gpus` names: `all`, or ids such as `0,1`.

    Raises:
        ValueError: there is none, or one of them is not there.
    """
    there = visible_gpus()
    if not there:
        raise ValueError("No GPU is visible here (nvidia-smi -L, CUDA_VISIBLE_DEVICES).")
    if wanted == "all":
        return there
    ids = [part.strip() for part in wanted.split(",") if part.strip()]
    missing = [gpu for gpu in ids if gpu not in there]
    if missing or not ids:
        raise ValueError(
            f"There is no GPU {', '.join(missing) or '(none named)'}; visible: {', '.join(there)}."
        )
    return ids


def _gpu_lines(listing: str) -> list[str]:
    # MIG slices follow their GPU on indented lines.
    return [line for line in listing.splitlines() if line.startswith("GPU ")]
