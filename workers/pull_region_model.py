"""Get a region model of Segment Anything and register it: `python -m workers.pull_region_model`.

Run by `selvage models pull`. The file comes from where its authors publish it, in parts that are
resumed, and is used only if it has the SHA-256 that the program knows.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from api_schemas.models import MODEL_NAME_PATTERN
from api_schemas.problems import ProblemError
from domain import models
from domain.settings import Settings
from models.errors import ModelRefused
from storage.catalog.engine import Catalog
from storage.catalog.migrations import upgrade
from storage.catalog.models import list_versions
from storage.catalog.tables import ModelVersionRow
from storage.kept_objects import KeptObjects
from workers.convert_checkpoint import convert_apart
from workers.download_bar import download_bar
from workers.model_folder import store_folder
from workers.official_checkpoints import CHECKPOINTS, Checkpoint
from workers.resumable_download import (
    ChecksumMismatch,
    DownloadFailed,
    OnBytes,
    check,
    download,
)

Convert = Callable[[str, Path, Path], None]  # name, checkpoint, folder to write


def main() -> None:
    """Fetch, check, convert and register a checkpoint, and print its reference."""
    parser = argparse.ArgumentParser(prog="selvage models pull", description=__doc__)
    parser.add_argument("checkpoint", choices=sorted(CHECKPOINTS))
    parser.add_argument("--file", type=Path, help="the checkpoint, downloaded already")
    parser.add_argument("--name", help="of the model; by default that of the checkpoint")
    parser.add_argument("--promote", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    name = arguments.name or arguments.checkpoint
    if not re.match(MODEL_NAME_PATTERN, name):
        sys.exit(f"'{name}' is no model name: lower case letters, digits, . _ and -")
    if arguments.file is not None and not arguments.file.is_file():
        sys.exit(f"'{arguments.file}' is no file. Give the checkpoint that you downloaded.")
    checkpoint = CHECKPOINTS[arguments.checkpoint]
    settings = Settings()
    try:
        with download_bar() as on_bytes:
            row = pull(
                settings,
                checkpoint,
                name=name,
                file=arguments.file,
                promote=arguments.promote,
                on_bytes=on_bytes,
            )
    except (ChecksumMismatch, DownloadFailed, ModelRefused, OSError, ProblemError) as error:
        sys.exit(explain(error, settings, checkpoint))
    if arguments.json:
        print(json.dumps({"model": models.reference_of(row), "digest": row.digest}))
    else:
        print(f"{models.reference_of(row)} is ready: a region model, {row.size_bytes} bytes")


def downloads_folder(settings: Settings) -> Path:
    return settings.data_dir.absolute() / "downloads"


def pull(
    settings: Settings,
    checkpoint: Checkpoint,
    *,
    name: str,
    file: Path | None,
    promote: bool,
    on_bytes: OnBytes,
    convert: Convert = convert_apart,
) -> ModelVersionRow:
    """Return the version of a checkpoint, fetched and registered if it is not there yet.

    Args:
        file: take this file instead of fetching one.

    Raises:
        DownloadFailed, ChecksumMismatch: see `workers.resumable_download`.
        ModelRefused: the checkpoint cannot be converted.
        StateConflict: the name is that of a segmenter.
        StorageUnavailable: the store failed.
    """
    upgrade(settings.catalog_url)
    catalog = Catalog(settings.catalog_url)
    try:
        there = _registered(catalog, name, checkpoint, promote=promote)
        if there is not None:
            return there
        folder = downloads_folder(settings)
        if file is None:
            source = download(checkpoint, folder, on_bytes)
        else:
            check(checkpoint, file)
            source = file
        row = _register(settings, catalog, checkpoint, source, name, promote, convert)
        if file is None:
            source.unlink()
        return row
    finally:
        catalog.close()


def _registered(
    catalog: Catalog, name: str, checkpoint: Checkpoint, *, promote: bool
) -> ModelVersionRow | None:
    """Return the version that was made of this very checkpoint, if there is one."""
    with catalog.read() as session:
        models.check_sort(session, name, is_region_model=True)
        found = [
            version
            for version in list_versions(session, name)
            if version.status == "ready" and version.provenance.get("sha256") == checkpoint.sha256
        ]
    if found and promote:
        models.promote(catalog, name, found[0].version)
    return found[0] if found else None


def _register(
    settings: Settings,
    catalog: Catalog,
    checkpoint: Checkpoint,
    source: Path,
    name: str,
    promote: bool,
    convert: Convert,
) -> ModelVersionRow:
    from workers.region_model_folder import check_region_model  # loads torch, which takes a while

    folder = downloads_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="convert-", dir=folder) as temporary:
        converted = Path(temporary) / "model"
        convert(checkpoint.name, source, converted)
        facts = check_region_model(converted)
        return store_folder(
            catalog,
            KeptObjects.open_kept(settings.store_address, catalog),
            converted,
            name=name,
            ontology=facts.pop("ontology"),
            kind=facts.pop("kind"),
            facts=facts,
            provenance={
                "source": "models pull",
                "url": checkpoint.url,
                "sha256": checkpoint.sha256,
            },
            promote=promote,
        )


def explain(error: Exception, settings: Settings, checkpoint: Checkpoint) -> str:
    """Return what happened and what to do about it."""
    if isinstance(error, ProblemError):
        return error.detail
    if isinstance(error, ModelRefused):
        return f"The model was refused ({error.code}): {error}"
    size = f"{checkpoint.size_bytes} bytes, " if checkpoint.size_bytes else ""
    by_hand = (
        f"Download {checkpoint.url} ({size}SHA-256 {checkpoint.sha256}) yourself, copy it to this "
        f"machine and run\n\n  selvage models pull {checkpoint.name} --file "
        f"{checkpoint.file_name}\n"
    )
    if isinstance(error, ChecksumMismatch):
        return f"{error} It was not used.\n{by_hand}"
    folder = downloads_folder(settings)
    part = folder / f"{checkpoint.file_name}.part"
    kept = (
        f"{part.stat().st_size} bytes are kept in {folder}: the same command goes on from there. "
        if part.is_file()
        else ""
    )
    return f"{checkpoint.file_name} could not be fetched: {error}. {kept}{by_hand}"


if __name__ == "__main__":
    main()
