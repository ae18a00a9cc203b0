import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed.images import scene_files, variant_files

SIZE_HW = (32, 48)


def digests(files: list[Path]) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


class TestSceneFiles:
    def test_distinct_jpegs_of_the_size_asked_for(self, tmp_path: Path) -> None:
        files = scene_files(tmp_path, 3, SIZE_HW)
        assert len(set(digests(files))) == 3
        with Image.open(files[0]) as image:
            assert (image.format, image.size) == ("JPEG", (48, 32))

    def test_files_that_exist_are_kept(self, tmp_path: Path) -> None:
        (first,) = scene_files(tmp_path, 1, SIZE_HW)
        first.write_bytes(b"kept")
        assert scene_files(tmp_path, 2, SIZE_HW)[0].read_bytes() == b"kept"


class TestVariantFiles:
    def test_no_two_are_alike(self, tmp_path: Path) -> None:
        sources = scene_files(tmp_path, 2, SIZE_HW)
        files = variant_files(sources, tmp_path / "out", 7)
        assert len(set(digests(files))) == 7

    def test_a_variant_is_its_source_shifted(self, tmp_path: Path) -> None:
        (source,) = scene_files(tmp_path, 1, SIZE_HW)
        shifted = variant_files([source], tmp_path / "out", 2)[1]
        expected = np.roll(np.asarray(Image.open(source)), 3, axis=1).astype(np.int16)
        # JPEG is lossy, and the seam of the shift costs most
        assert np.abs(np.asarray(Image.open(shifted)) - expected).mean() < 8

    def test_more_than_the_width_gives_is_refused(self, tmp_path: Path) -> None:
        sources = scene_files(tmp_path, 1, SIZE_HW)
        with pytest.raises(ValueError, match="1 sources do not give 17"):
            variant_files(sources, tmp_path / "out", 17)
