from pathlib import Path

import pytest


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two images by name and one other file."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    (folder / "b.png").write_bytes(b"b")
    (folder / "notes.txt").write_bytes(b"b")
    return folder
