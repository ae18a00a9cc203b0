from pathlib import Path

import pytest
from PIL import Image

from benchmarks.scale.corrupt import write_files


def test_one_in_a_hundred_is_broken(tmp_path: Path) -> None:
    broken = write_files(tmp_path, 200)
    assert broken == ["00050.jpg", "00150.jpg"]
    assert len(list(tmp_path.iterdir())) == 200
    for path in tmp_path.iterdir():
        with Image.open(path) as image:  # the header of all of them is sound
            if path.name in broken:
                with pytest.raises(OSError, match="truncated"):
                    image.load()
            else:
                image.load()


def test_all_files_differ(tmp_path: Path) -> None:
    write_files(tmp_path, 120)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 120
