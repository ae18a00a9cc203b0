import zipfile
from pathlib import Path

import pytest
from selvage_client.errors import InvalidInput
from selvage_client.uploads import annotation_part, image_parts, left_out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "A.JPG", "sub/c.png", "notes.txt", ".hidden.png", ".git/d.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "in"


def test_a_folder_gives_its_images_by_their_paths(folder: Path) -> None:
    parts = image_parts(folder)
    assert [(p.file_name, p.media_type, p.size_bytes) for p in parts] == [
        ("A.JPG", "image/jpeg", 5),
        ("b.png", "image/png", 5),
        ("sub/c.png", "image/png", 9),
    ]
    assert parts[2].open().read() == b"sub/c.png"
    assert left_out(folder) == 1


def test_named_files_are_all_taken_whatever_they_are(folder: Path) -> None:
    parts = image_parts([folder / "notes.txt", str(folder / "b.png"), ("x.webp", b"12")])
    assert [(p.file_name, p.media_type, p.size_bytes) for p in parts] == [
        ("notes.txt", "application/octet-stream", 9),
        ("b.png", "image/png", 5),
        ("x.webp", "image/webp", 2),
    ]
    assert parts[2].open().read() == b"12"


def test_a_zip_goes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "all.ZIP"
    path.write_bytes(b"PK")
    (part,) = image_parts(path)
    assert (part.file_name, part.media_type) == ("all.ZIP", "application/zip")


def test_what_is_not_there_is_refused(folder: Path) -> None:
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInput, match="no image in it"):
        image_parts(empty)
    with pytest.raises(InvalidInput, match="There is no file or folder"):
        image_parts(folder / "missing")
    with pytest.raises(InvalidInput, match="list of files is empty"):
        image_parts([])
    with pytest.raises(InvalidInput, match="is a folder"):
        image_parts([folder])


def test_annotations_of_a_folder_are_packed(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("{}")
    (tmp_path / "a.png").write_bytes(b"label")
    with annotation_part(tmp_path) as part:
        with part.open() as file, zipfile.ZipFile(file) as archive:
            assert sorted(archive.namelist()) == ["a.png", "classes.json"]
            assert archive.read("a.png") == b"label"
        assert part.media_type == "application/zip"


def test_annotations_need_their_classes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"label")
    with pytest.raises(InvalidInput, match=r"no classes\.json"), annotation_part(tmp_path):
        pass
