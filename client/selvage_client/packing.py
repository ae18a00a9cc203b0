"""A model, or many images, as one archive."""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from selvage_client.errors import invalid_input
from selvage_client.multipart import FilePart, file_part
from selvage_client.uploads import image_parts

PICKLE_SUFFIXES: Final = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
CONFIG_FILES: Final = ("bundle.json", "config.json")


@contextmanager
def model_part(source: str | os.PathLike[str]) -> Iterator[FilePart]:
    """Yield the part for an archive of a model; a folder is packed into a temporary zip.

    Raises:
        InvalidInput: there is nothing, or no model that a service could take.
    """
    with model_archive(source) as path:
        name = Path(source).resolve().name
        name = path.name if path == Path(source) else f"{name}.zip"
        yield file_part(path, name, "application/octet-stream")


@contextmanager
def model_archive(source: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the archive of a model as a file; see `model_part`."""
    path = Path(source)
    if not path.exists():
        raise invalid_input(f"There is no file or folder '{path}'.")
    if not path.is_dir():
        _check_names(path, [path.name])
        yield path
        return
    files = [file for file in sorted(path.iterdir()) if not file.name.startswith(".")]
    _check_names(path, [file.name for file in files])
    if not any((path / name).is_file() for name in CONFIG_FILES):
        raise invalid_input(
            f"'{path}' has neither {' nor '.join(CONFIG_FILES)}, so it is not the folder of a "
            "model. Name the folder that has one of them."
        )
    with tempfile.TemporaryDirectory(prefix="selvage-") as folder:
        packed = Path(folder) / f"{path.resolve().name or 'model'}.zip"
        # Weights do not get smaller.
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                if file.is_file():
                    archive.write(file, file.name)
        yield packed


@contextmanager
def images_archive(source: Path) -> Iterator[Path]:
    """Yield images as one file: an archive or an image as it is, a folder as a temporary zip.

    Raises:
        InvalidInput: there is nothing to send.
    """
    if not source.is_dir():
        image_parts(source)
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="selvage-") as folder:
        packed = Path(folder) / f"{source.resolve().name or 'images'}.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for part in image_parts(source):
                archive.write(source / part.file_name, part.file_name)
        yield packed


def _check_names(source: Path, names: list[str]) -> None:
    for name in names:
        if name.lower().endswith(PICKLE_SUFFIXES):
            raise invalid_input(
                f"'{name}' is a pickle, which can hold programs; no service takes it. Make a "
                f"folder without it: `selvage models convert {source} TARGET`, and send TARGET."
            )
