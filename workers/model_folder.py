"""From a checked model folder to a model version in catalog and object store."""

import json
from pathlib import Path
from typing import Any

from domain.models import NewVersion, register_version
from models.digest import file_sha256, folder_digest, model_files
from storage.catalog.engine import Catalog
from storage.catalog.tables import ModelVersionRow
from storage.objects import Objects, model_key


def put_folder(objects: Objects, folder: Path) -> tuple[str, dict[str, Any]]:
    """Put a model's files under its digest; returns the digest and what stands in `files`.

    Raises:
        StorageUnavailable: the store failed.
    """
    digest = folder_digest(folder)
    files: dict[str, Any] = {}
    for path in model_files(folder):
        with path.open("rb") as file:
            objects.put_new(model_key(digest, path.name), file)
        files[path.name] = {"sha256": file_sha256(path), "size_bytes": path.stat().st_size}
    return digest, files


def store_folder(
    catalog: Catalog,
    objects: Objects,
    folder: Path,
    *,
    name: str,
    facts: dict[str, Any],
    ontology: dict[str, Any],
    kind: str,
    provenance: dict[str, Any],
    promote: bool,
) -> ModelVersionRow:
    """Put a model's files under its digest and register the version; the same files twice are one.

    Raises:
        StorageUnavailable: the store failed; nothing was registered.
    """
    digest, files = put_folder(objects, folder)
    new = NewVersion(
        name=name,
        kind=kind,
        digest=digest,
        files=files,
        ontology=ontology,
        size_bytes=sum(f["size_bytes"] for f in files.values()),
        facts=json.loads(json.dumps(facts)),
        provenance=provenance,
    )
    with catalog.write() as session:
        return register_version(session, new, promote=promote)
