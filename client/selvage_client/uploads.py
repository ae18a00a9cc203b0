"""What to upload: paths, folders, zips and bytes, turned into parts of a request."""

import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from selvage_client.errors import invalid_input
from selvage_client.multipart import FilePart, file_part

IMAGE_MEDIA_TYPES: Final = {
    ".bmp": "image/bmp",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".pgm": "image/x-portable-graymap",
    ".png": "image/png",
    ".ppm": "image/x-portable-pixmap",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}
ZIP_SUFFIX: Final = ".zip"
ANY_MEDIA_TYPE: Final = "application/octet-stream"
CLASSES_FILE: Final = "classes.json"

NamedBytes = tuple[str, bytes]
Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str] | NamedBytes]


def image_parts(source: Source) -> list[FilePart]:
    """Return the parts for a folder, a zip, an image, or a list of images.

    Of a folder all files that are images by name are taken, recursively and in the order of their
    paths; a part is named by its path below the folder. Files that are named one by one are all
    taken, whatever they are called, so that the service can say what is wrong with them.

    Raises:
        InvalidInput: a path does not exist, or there is nothing to send.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return _folder_parts(path)
        return [_path_part(path)]
    parts = [_entry_part(entry) for entry in source]
    if not parts:
        raise invalid_input("The list of files is empty. Pass at least one image.")
    return parts


def left_out(folder: Path) -> int:
    """Return how many files of a folder `image_parts` does not take."""
    return sum(1 for path in _walk(folder) if path.suffix.lower() not in IMAGE_MEDIA_TYPES)


@contextmanager
def annotation_part(source: str | os.PathLike[str]) -> Iterator[FilePart]:
    """Yield the part for a zip of annotations; a folder is packed into a temporary zip.

    Raises:
        InvalidInput: the path does not exist, or the folder has no `classes.json`.
    """
    path = Path(source)
    if not path.is_dir():
        yield _path_part(path)
        return
    if not (path / CLASSES_FILE).is_file():
        raise invalid_input(
            f"'{path}' has no {CLASSES_FILE}. Put the list of classes beside the label images."
        )
    with tempfile.TemporaryDirectory(prefix="selvage-") as folder:
        packed = Path(folder) / "annotations.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for file in _walk(path):
                archive.write(file, file.relative_to(path).as_posix())
        yield file_part(packed, f"{path.resolve().name}.zip", "application/zip")


def _folder_parts(folder: Path) -> list[FilePart]:
    parts = [
        file_part(path, path.relative_to(folder).as_posix(), _media_type(path))
        for path in _walk(folder)
        if path.suffix.lower() in IMAGE_MEDIA_TYPES
    ]
    if not parts:
        kinds = ", ".join(sorted(IMAGE_MEDIA_TYPES))
        raise invalid_input(f"The folder '{folder}' has no image in it (looked for {kinds}).")
    return parts


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted by path, without hidden ones."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def _path_part(path: Path) -> FilePart:
    if path.is_dir():
        raise invalid_input(f"'{path}' is a folder. Pass it alone, or name the files in it.")
    if not path.exists():
        raise invalid_input(f"There is no file or folder '{path}'.")
    return file_part(path, path.name, _media_type(path))


def _entry_part(entry: str | os.PathLike[str] | NamedBytes) -> FilePart:
    if not isinstance(entry, tuple):
        return _path_part(Path(entry))
    name, content = entry
    return FilePart(name, _media_type(Path(name)), len(content), lambda: io.BytesIO(content))


def _media_type(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ZIP_SUFFIX:
        return "application/zip"
    return IMAGE_MEDIA_TYPES.get(suffix, ANY_MEDIA_TYPE)
