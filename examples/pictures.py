"""`python -m examples.pictures`: the picture of the README, made of what `make demo` left."""

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from examples.demo_pictures import Array, sheet

COLUMNS: Final = ("image", "predict", "rectify", "select", "aggregate", "correct")
ROWS: Final = 3
TILE_WIDTH_PX: Final = 200
COLOURS: Final = 128  # a palette makes the file several times smaller


def stages_sheet(demo: Path) -> Array:
    """A few images of middling quality, one a row, after each stage; uint8 (H, W, 3).

    Raises:
        SystemExit: the report has no image with all stages.
    """
    images = json.loads((demo / "report.json").read_text())["images"]
    usable = [row for row in images if set(COLUMNS) <= set(row.get("pictures", ()))]
    if not usable:
        raise SystemExit(f"'{demo}' has no image with all stages; run `make demo` first.")
    first = max(0, (len(usable) - ROWS) // 2)
    rows = [
        [np.asarray(Image.open(demo / row["pictures"][name]).convert("RGB")) for name in COLUMNS]
        for row in usable[first : first + ROWS]
    ]
    return sheet(rows, COLUMNS, TILE_WIDTH_PX)


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m examples.pictures", description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo-output"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/stages.png"))
    arguments = parser.parse_args()
    picture = Image.fromarray(stages_sheet(arguments.demo))
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(arguments.out, optimize=True)
    print(f"{arguments.out} ({arguments.out.stat().st_size // 1024} KiB)")


if __name__ == "__main__":
    main()
