"""Makes a region model of a published checkpoint, in a process of its own.

The checkpoint is a pickle. It is read with `weights_only=True`, which makes tensors and plain
containers and refuses anything else, by a process that has no credentials of the service.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from models.errors import ModelRefused


def convert_apart(name: str, source: Path, folder: Path) -> None:
    """Write the region model of a checkpoint to `folder`, from another process.

    Raises:
        ModelRefused: the checkpoint does not hold the weights of this architecture.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SELVAGE_", "AWS_"))}
    module = ["-P", "-m", "workers.convert_checkpoint"]
    command = [sys.executable, *module, name, str(source), str(folder)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines()
        raise ModelRefused(
            "model-unreadable",
            f"{source.name} cannot be converted: {lines[-1] if lines else 'the process died'}",
            "Download it once more; the conversion of the largest needs 8 GB of memory.",
        )


def main() -> int:
    """Run the command; returns 0, or 1 with the reason as the last line of the error stream."""
    from models.promptable.official import convert_official

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the architecture, such as sam_vit_b")
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        convert_official(arguments.name, arguments.source, arguments.folder)
    except (ModelRefused, OSError, ValueError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
